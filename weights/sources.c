/* sources.c: sources.tsv, read at run time from the string that the build made of it. */
#include "weights/sources.h"

#include <string.h>

#include "weights/embedded.h"
#include "weights/recipe.h"

/* name url sha256 title resize crop interpolation */
enum { COLUMNS = 7, SHORTEST_PREFIX = 8 };

struct field {
    const char *at;
    size_t bytes;
};

/* Copies the field as a string: 0, or -1 when it is empty or too long. */
static int copy_field(char *out, size_t size, struct field field)
{
    if (field.bytes == 0 || field.bytes >= size)
        return -1;
    memcpy(out, field.at, field.bytes);
    out[field.bytes] = '\0';
    return 0;
}

/* -> how many fields the line has, at most COLUMNS + 1 */
static int split(struct field fields[COLUMNS], const char *line, size_t bytes)
{
    const char *end = line + bytes;
    int n = 0;

    while (n < COLUMNS) {
        const char *tab = memchr(line, '\t', (size_t)(end - line));
        fields[n++] = (struct field){line, (size_t)((tab != NULL ? tab : end) - line)};
        if (tab == NULL)
            return n;
        line = tab + 1;
    }
    return n + 1;
}

static int parse(struct wt_known *known, const char *line, size_t bytes, struct wt_err *err)
{
    static const char *const flags[] = {"resize", "crop", "interpolation"};
    struct field f[COLUMNS];

    *known = (struct wt_known){.recipe = wt_recipe_default};
    if (split(f, line, bytes) != COLUMNS ||
        copy_field(known->name, sizeof(known->name), f[0]) != 0 ||
        copy_field(known->url, sizeof(known->url), f[1]) != 0 ||
        copy_field(known->sha256, sizeof(known->sha256), f[2]) != 0 ||
        copy_field(known->title, sizeof(known->title), f[3]) != 0 ||
        strlen(known->sha256) < SHORTEST_PREFIX) {
        wt_fail(err, WT_EFORMAT, "sources.tsv: expected %d columns, found \"%.*s\"", COLUMNS,
                (int)bytes, line);
        return -1;
    }
    for (int i = 0; i < 3; i++) {
        char value[16];
        if (copy_field(value, sizeof(value), f[4 + i]) != 0) {
            wt_fail(err, WT_EFORMAT, "sources.tsv: %s: no %s", known->name, flags[i]);
            return -1;
        }
        if (wt_recipe_set(&known->recipe, flags[i], value, err) != WT_OK)
            return -1;
    }
    return wt_recipe_check(&known->recipe, err) == WT_OK ? 1 : -1;
}

int wt_sources_row(struct wt_known *known, int index, struct wt_err *err)
{
    const char *line = wt_embedded_sources;

    for (int row = -1; *line != '\0'; row++) { /* the first line names the columns */
        size_t bytes = strcspn(line, "\n");
        if (row == index)
            return parse(known, line, bytes, err);
        line += bytes + (line[bytes] == '\n');
    }
    return 0;
}

int wt_sources_find(struct wt_known *known, const char *sha256)
{
    for (int i = 0; wt_sources_row(known, i, NULL) > 0; i++)
        if (strncmp(known->sha256, sha256, strlen(known->sha256)) == 0)
            return 1;
    *known = (struct wt_known){0};
    return 0;
}
