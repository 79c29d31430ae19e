/* client.h: one GET to resnet-control, without nginx. */
#ifndef SPAWN_CLIENT_H
#define SPAWN_CLIENT_H

#include "fcgi/buffer.h"

/* Asks `path` of the FastCGI socket, as the second listener does, within timeout_ms. body gets the
 * answer's body, without the headers, and a terminating NUL that is not counted.
 * Returns the HTTP status, or -1 with errno when there is no whole answer. */
int spawn_client_get(const char *socket_path, const char *path, int timeout_ms,
                     struct fcgi_buffer *body);

#endif
