/* version.h: what --version says first. */
#ifndef FCGI_VERSION_H
#define FCGI_VERSION_H

extern const char fcgi_version[]; /* "1.0.0" */
extern const char fcgi_commit[];  /* "0123456789ab", with "-dirty" where it applies */

#endif
