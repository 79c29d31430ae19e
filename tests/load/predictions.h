/* predictions.h: what a service's answer says, in whichever of the usual shapes. */
#ifndef TESTS_LOAD_PREDICTIONS_H
#define TESTS_LOAD_PREDICTIONS_H

#include <stddef.h>

enum { T_MAX_TOP = 5 };

struct t_prediction {
    int class_id;       /* -1: not told */
    double probability; /* -1: not told */
    char label[96];     /* "": not told */
};

struct t_predictions {
    int n;
    struct t_prediction top[T_MAX_TOP]; /* the most probable first */
};

/* Of the first picture in the answer. Read are
 *   an object about a class: who it is in class_id, class_index, class_idx, category_id, or label,
 *     class_name, name, class, category, prediction, predicted_class (a number there is an id);
 *     how probable in probability, score, confidence, prob, p (all of them percent if one is
 *     above 1);
 *   an array of such objects, or of arrays [id, label, probability] or [label, probability];
 *   an array of numbers: the probability of each class;
 *   an object that gives each label its probability;
 *   any of these in predictions, prediction, results, result, top5, top_5, top_k, topk, classes,
 *     data, output, outputs, probabilities, alone or as the first of an array.
 * Returns 0, or -1: nothing of the kind. */
int t_predictions_read(const char *text, size_t n, struct t_predictions *predictions);

/* By id where both have one, else by label: case, underscores and synonyms behind a comma aside. */
int t_predictions_same(const struct t_prediction *a, const struct t_prediction *b);

/* The largest difference of probability of a class that is in both; 0 where none is. */
double t_predictions_difference(const struct t_predictions *a, const struct t_predictions *b);

#endif
