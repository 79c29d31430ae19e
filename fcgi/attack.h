/* attack.h: what somebody would try who has taken a worker over: part of build/faults/ only, asked
 * for by RESNET_FAULT (faults.h). */
#ifndef FCGI_ATTACK_H
#define FCGI_ATTACK_H

/* Whether there is an attack of that name. */
int fcgi_attack_is_known(const char *name);

/* Tries it, and logs what came of it if anybody is left to. Whom it is against stands at the end of
 * the request's id: "...-PID", or "...-PID-ADDRESS" in hex for a page of that process. scribble and
 * die are by the process itself: no other one tries. */
void fcgi_attack(const char *name, const char *request_id);

#endif
