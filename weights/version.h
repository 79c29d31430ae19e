/* version.h: what resnet-pack --version says first; internal to weights/. */
#ifndef WEIGHTS_VERSION_H
#define WEIGHTS_VERSION_H

extern const char wt_version[]; /* "1.0.0" */
extern const char wt_commit[];  /* "0123456789ab", with "-dirty" where it applies */

#endif
