/* embedded.h: text files of this folder that the build turns into strings (rules.mk). */
#ifndef WEIGHTS_EMBEDDED_H
#define WEIGHTS_EMBEDDED_H

extern const char wt_embedded_imagenet_labels[]; /* imagenet-labels.txt */
extern const char wt_embedded_sources[];         /* sources.tsv */

#endif
