/* nginx_conf.c: words, blocks and included files, by nginx's own rules. */
#include "spawn/nginx_conf.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Larger than any configuration, and small enough for a file that is none. */
enum { MAX_BYTES = 8 << 20, MAX_DEPTH = 16, MAX_WORD = 4096, MAX_WORDS = 4096 };

struct reader {
    struct spawn_nginx_conf *conf;
    const char *folder; /* of the first file, with its slash */
    char *text;         /* [512], the sentence that says what is wrong */
    int depth;          /* of includes */
};

/* One file on its way. */
struct source {
    const char *at, *end;
    int file, line;
};

enum mark { MARK_WORD, MARK_SEMICOLON, MARK_OPEN, MARK_CLOSE, MARK_END, MARK_BAD };

static int fail(const struct reader *reader, const struct source *source, const char *what)
{
    snprintf(reader->text, 512, "%.256s:%d: %s", reader->conf->files[source->file], source->line,
             what);
    return -1;
}

/* ---- words ---------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct source *source)
{
    for (; source->at < source->end; source->at++) {
        if (*source->at == '#')
            while (source->at < source->end && *source->at != '\n')
                source->at++;
        if (source->at == source->end)
            return;
        if (!is_blank(*source->at))
            return;
        source->line += *source->at == '\n';
    }
}

/* nginx takes the backslash away from quotes, blanks it knows, and itself; elsewhere it stays, for
 * regular expressions. */
static char unescaped(char c)
{
    switch (c) {
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'n':
        return '\n';
    case '"':
    case '\'':
    case '\\':
        return c;
    default:
        return '\0';
    }
}

/* After the opening quote, if there is one. */
static enum mark read_word(struct source *source, char quote, char word[MAX_WORD])
{
    size_t n = 0;
    char before = '\0';

    for (; source->at < source->end; source->at++) {
        char c = *source->at;
        if (quote ? c == quote : is_blank(c) || c == ';' || (c == '{' && before != '$'))
            break;
        if (c == '\\' && source->at + 1 < source->end) {
            char plain = unescaped(source->at[1]);
            if (plain) {
                c = plain;
                source->at++;
            } else if (n < MAX_WORD - 2) {
                word[n++] = c;
                c = *++source->at;
            }
        }
        source->line += *source->at == '\n';
        if (n >= MAX_WORD - 1)
            return MARK_BAD;
        word[n++] = before = c;
    }
    word[n] = '\0';
    if (quote && source->at == source->end)
        return MARK_BAD;
    source->at += quote != '\0';
    return MARK_WORD;
}

static enum mark next_mark(struct source *source, char word[MAX_WORD])
{
    skip_blanks(source);
    if (source->at == source->end)
        return MARK_END;
    switch (*source->at) {
    case ';':
        source->at++;
        return MARK_SEMICOLON;
    case '{':
        source->at++;
        return MARK_OPEN;
    case '}':
        source->at++;
        return MARK_CLOSE;
    case '"':
    case '\'':
        return read_word(source, *source->at++, word);
    default:
        return read_word(source, '\0', word);
    }
}

/* ---- directives ----------------------------------------------------------------------------- */

static struct spawn_nginx_directive *add_directive(struct spawn_nginx_conf *conf)
{
    if (conf->n == conf->capacity) {
        int capacity = conf->capacity ? 2 * conf->capacity : 256;
        void *grown = reallocarray(conf->directives, (size_t)capacity, sizeof *conf->directives);
        if (!grown)
            return NULL;
        conf->directives = grown;
        conf->capacity = capacity;
    }
    struct spawn_nginx_directive *directive = &conf->directives[conf->n++];
    *directive = (struct spawn_nginx_directive){0};
    return directive;
}

static int add_word(struct spawn_nginx_directive *directive, const char *word)
{
    if (directive->n_words == MAX_WORDS)
        return -1;
    char **words = reallocarray(directive->words, (size_t)directive->n_words + 1, sizeof *words);
    if (!words)
        return -1;
    directive->words = words;
    words[directive->n_words] = strdup(word);
    if (!words[directive->n_words])
        return -1;
    directive->n_words++;
    return 0;
}

static int read_file(struct reader *reader, const char *path, int parent);

/* `include` is replaced by what it names. A pattern may match nothing, a name must be there. */
static int include(struct reader *reader, const struct source *source, const char *pattern,
                   int parent)
{
    char full[MAX_WORD + 512];
    glob_t found = {0};
    int failed = 0;

    if (reader->depth >= MAX_DEPTH)
        return fail(reader, source, "more than 16 files include each other");
    snprintf(full, sizeof full, "%s%s", *pattern == '/' ? "" : reader->folder, pattern);
    if (!strpbrk(full, "*?["))
        return read_file(reader, full, parent);
    if (!glob(full, 0, NULL, &found))
        for (size_t i = 0; i < found.gl_pathc && !failed; i++)
            failed = read_file(reader, found.gl_pathv[i], parent);
    globfree(&found);
    return failed;
}

/* The words of one directive. Returns the mark that ended them, or MARK_BAD. */
static enum mark read_directive(struct source *source, struct spawn_nginx_directive *directive)
{
    char word[MAX_WORD];
    enum mark mark;

    for (;;) {
        skip_blanks(source);
        if (!directive->n_words)
            directive->line = source->line;
        mark = next_mark(source, word);
        if (mark != MARK_WORD)
            return mark;
        if (add_word(directive, word))
            return MARK_BAD;
    }
}

/* Takes a directive that was an include, or nothing at all, away again. */
static void drop_last(struct spawn_nginx_conf *conf)
{
    struct spawn_nginx_directive *last = &conf->directives[--conf->n];

    for (int i = 0; i < last->n_words; i++)
        free(last->words[i]);
    free(last->words);
}

static int end_directive(struct reader *reader, const struct source *source, int index)
{
    struct spawn_nginx_directive *directive = &reader->conf->directives[index];
    char pattern[MAX_WORD];
    int parent = directive->parent;

    if (directive->n_words == 0)
        return fail(reader, source, "a \";\" where a directive was expected");
    if (directive->n_words != 2 || strcmp(directive->words[0], "include") != 0)
        return 0;
    snprintf(pattern, sizeof pattern, "%s", directive->words[1]);
    drop_last(reader->conf);
    return include(reader, source, pattern, parent);
}

static int read_blocks(struct reader *reader, struct source *source, int parent)
{
    int block = parent;

    for (;;) {
        int index = reader->conf->n;
        struct spawn_nginx_directive *directive = add_directive(reader->conf);
        if (!directive)
            return fail(reader, source, "no memory");
        directive->parent = block;
        directive->file = source->file;
        enum mark mark = read_directive(source, directive);
        if (mark == MARK_SEMICOLON) {
            if (end_directive(reader, source, index))
                return -1;
        } else if (mark == MARK_OPEN && directive->n_words) {
            directive->is_block = true;
            block = index;
        } else if (mark == MARK_CLOSE && !directive->n_words && block != parent) {
            drop_last(reader->conf);
            block = reader->conf->directives[block].parent;
        } else if (mark == MARK_END && !directive->n_words && block == parent) {
            drop_last(reader->conf);
            return 0;
        } else {
            return fail(reader, source,
                        mark == MARK_BAD    ? "a word that is too long, or a quote without end"
                        : mark == MARK_END  ? "the file ends within a directive or block"
                        : mark == MARK_OPEN ? "a \"{\" without a name before it"
                                            : "a \"}\" that closes nothing");
        }
    }
}

/* ---- files ---------------------------------------------------------------------------------- */

static int add_file(struct spawn_nginx_conf *conf, const char *path)
{
    char **files = reallocarray(conf->files, (size_t)conf->n_files + 1, sizeof *files);

    if (!files)
        return -1;
    conf->files = files;
    files[conf->n_files] = strdup(path);
    return files[conf->n_files] ? conf->n_files++ : -1;
}

static int read_bytes(struct reader *reader, const char *path, const char *bytes, size_t n,
                      int parent)
{
    struct source source = {.at = bytes, .end = bytes + n, .line = 1};

    source.file = add_file(reader->conf, path);
    reader->conf->bytes += n;
    if (source.file < 0 || reader->conf->bytes > MAX_BYTES) {
        snprintf(reader->text, 512, "%.256s: more than 8 MiB of configuration", path);
        return -1;
    }
    reader->depth++;
    int failed = read_blocks(reader, &source, parent);
    reader->depth--;
    return failed;
}

static int read_file(struct reader *reader, const char *path, int parent)
{
    FILE *file = fopen(path, "re");
    char *bytes = file ? malloc(MAX_BYTES + 1) : NULL;
    size_t n = bytes ? fread(bytes, 1, MAX_BYTES + 1, file) : 0;
    int failed = -1;

    if (!bytes || ferror(file))
        snprintf(reader->text, 512, "%.256s: %s", path, strerror(errno));
    else
        failed = read_bytes(reader, path, bytes, n, parent);
    free(bytes);
    if (file)
        fclose(file);
    return failed;
}

int spawn_nginx_conf_read(struct spawn_nginx_conf *conf, const char *path, char text[512])
{
    const char *slash = strrchr(path, '/');
    char *folder = strndup(path, slash ? (size_t)(slash - path) + 1 : 0);
    struct reader reader = {.conf = conf, .folder = folder, .text = text};
    int failed = -1;

    if (folder)
        failed = read_file(&reader, path, SPAWN_NGINX_TOP);
    else
        snprintf(text, 512, "no memory");
    free(folder);
    return failed;
}

int spawn_nginx_conf_parse(struct spawn_nginx_conf *conf, const char *name, const char *bytes,
                           size_t n, char text[512])
{
    struct reader reader = {.conf = conf, .folder = "", .text = text};

    return read_bytes(&reader, name, bytes, n, SPAWN_NGINX_TOP);
}

void spawn_nginx_conf_free(struct spawn_nginx_conf *conf)
{
    while (conf->n)
        drop_last(conf);
    for (int i = 0; i < conf->n_files; i++)
        free(conf->files[i]);
    free(conf->files);
    free(conf->directives);
    *conf = (struct spawn_nginx_conf){0};
}

/* ---- looking -------------------------------------------------------------------------------- */

static bool is_called(const struct spawn_nginx_conf *conf, int i, const char *name)
{
    return !name || !strcmp(conf->directives[i].words[0], name);
}

int spawn_nginx_conf_next(const struct spawn_nginx_conf *conf, int parent, const char *name,
                          int after)
{
    for (int i = after + 1; i < conf->n; i++)
        if (conf->directives[i].parent == parent && is_called(conf, i, name))
            return i;
    return -1;
}

static bool is_within(const struct spawn_nginx_conf *conf, int i, int block)
{
    while (i != SPAWN_NGINX_TOP && i != block)
        i = conf->directives[i].parent;
    return i == block;
}

int spawn_nginx_conf_find(const struct spawn_nginx_conf *conf, int within, const char *name,
                          int after)
{
    for (int i = after + 1; i < conf->n; i++)
        if (i != within && is_called(conf, i, name) && is_within(conf, i, within))
            return i;
    return -1;
}

int spawn_nginx_conf_effective(const struct spawn_nginx_conf *conf, int block, const char *name)
{
    for (;; block = conf->directives[block].parent) {
        int last = -1;
        for (int i = -1; (i = spawn_nginx_conf_next(conf, block, name, i)) >= 0;)
            last = i;
        if (last >= 0 || block == SPAWN_NGINX_TOP)
            return last;
    }
}

const char *spawn_nginx_conf_word(const struct spawn_nginx_conf *conf, int directive, int i)
{
    if (directive < 0 || i >= conf->directives[directive].n_words)
        return "";
    return conf->directives[directive].words[i];
}

bool spawn_nginx_conf_has(const struct spawn_nginx_conf *conf, int directive, const char *word)
{
    for (int i = 1; directive >= 0 && i < conf->directives[directive].n_words; i++)
        if (!strcmp(conf->directives[directive].words[i], word))
            return true;
    return false;
}

/* ---- numbers -------------------------------------------------------------------------------- */

struct unit {
    const char *name;
    int64_t value;
};

/* Digits and a unit, again and again; where the unit is missing the last one of the table counts.
 */
static int64_t sum_of_units(const char *text, const struct unit *units, int n_units)
{
    int64_t sum = 0;

    if (!*text)
        return -1;
    while (*text) {
        char *end;
        errno = 0;
        long long number = strtoll(text, &end, 10);
        size_t letters = strcspn(end, "0123456789 ");
        int i = 0;
        while (i < n_units &&
               (strlen(units[i].name) != letters || strncmp(units[i].name, end, letters) != 0))
            i++;
        int64_t part;
        if (end == text || *text == '-' || *text == '+' || errno || i == n_units ||
            __builtin_mul_overflow((int64_t)number, units[i].value, &part) ||
            __builtin_add_overflow(sum, part, &sum))
            return -1;
        text = end + letters + strspn(end + letters, " ");
    }
    return sum;
}

int64_t spawn_nginx_conf_time_ms(const char *text)
{
    static const struct unit units[] = {{"ms", 1},         {"s", 1000},        {"m", 60000},
                                        {"h", 3600000},    {"d", 86400000},    {"w", 604800000},
                                        {"M", 2592000000}, {"y", 31536000000}, {"", 1000}};

    return sum_of_units(text, units, sizeof units / sizeof *units);
}

int64_t spawn_nginx_conf_size_bytes(const char *text)
{
    static const struct unit units[] = {{"k", 1 << 10}, {"K", 1 << 10}, {"m", 1 << 20},
                                        {"M", 1 << 20}, {"g", 1 << 30}, {"G", 1 << 30},
                                        {"", 1}};

    return sum_of_units(text, units, sizeof units / sizeof *units);
}
