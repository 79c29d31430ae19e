/* nginx_conf.h: an nginx configuration as nginx reads it: files it includes, quotes, comments, and
 * what an inner block inherits. Nothing is evaluated, and no file is written.
 */
#ifndef SPAWN_NGINX_CONF_H
#define SPAWN_NGINX_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SPAWN_NGINX_TOP = -1 }; /* outside of all blocks */

struct spawn_nginx_directive {
    char **words; /* [n_words], the name first, without quotes */
    int n_words;
    bool is_block;
    int parent; /* index of the block that it stands in, or SPAWN_NGINX_TOP */
    int file;   /* index into files */
    int line;
};

/* {0} to begin with. */
struct spawn_nginx_conf {
    struct spawn_nginx_directive *directives; /* [n], in the order of the text */
    int n, capacity;
    char **files; /* [n_files], as they were opened */
    int n_files;
    size_t bytes; /* read in all */
};

/* The file and all that it includes; relative names are taken from its own folder, as nginx does.
 * Or what `nginx -T` printed; "-": the standard input. Returns 0, or -1 with a sentence.
 * spawn_nginx_conf_free() is due in either case. */
int spawn_nginx_conf_read(struct spawn_nginx_conf *conf, const char *path, char text[512]);

/* The same from memory; name: what sentences call it. Includes are looked for in the text, which
 * may be of `nginx -T`, and nowhere else. */
int spawn_nginx_conf_parse(struct spawn_nginx_conf *conf, const char *name, const char *bytes,
                           size_t n, char text[512]);
void spawn_nginx_conf_free(struct spawn_nginx_conf *conf);

/* ---- nginx_look.c --------------------------------------------------------------------------- */

/* The next directive of that name (NULL: any) directly in block `parent`, after index `after` (-1:
 * from the beginning); -1: none. */
int spawn_nginx_conf_next(const struct spawn_nginx_conf *conf, int parent, const char *name,
                          int after);

/* The same anywhere in block `within`, however deep. */
int spawn_nginx_conf_find(const struct spawn_nginx_conf *conf, int within, const char *name,
                          int after);

/* What holds in a block: the last directive of that name in it, or else in the nearest around it;
 * -1: nginx's default. */
int spawn_nginx_conf_effective(const struct spawn_nginx_conf *conf, int block, const char *name);

/* Word i of a directive, 0 being its name; "" where there is none. */
const char *spawn_nginx_conf_word(const struct spawn_nginx_conf *conf, int directive, int i);
/* Whether one of the words after the name is this. */
bool spawn_nginx_conf_has(const struct spawn_nginx_conf *conf, int directive, const char *word);

/* "130s", "1m 30s", "500ms", "90" -> milliseconds; "16m", "1g", "4096" -> bytes; -1: malformed. */
int64_t spawn_nginx_conf_time_ms(const char *text);
int64_t spawn_nginx_conf_size_bytes(const char *text);

/* ---- nginx_dump.c: the files in what `nginx -T` printed -------------------------------------- */

struct spawn_nginx_file {
    const char *path; /* [path_n] */
    int path_n;
    const char *bytes; /* [n] */
    size_t n;
};

/* The next file in [*at, end), and past it; false: none, so this is no dump if it was the first. */
bool spawn_nginx_dump_next(const char **at, const char *end, struct spawn_nginx_file *file);

#endif
