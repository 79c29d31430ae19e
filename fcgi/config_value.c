/* config_value.c: one option's value: from text, to text, and what it should have been. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/config_table.h"

static int is_number(const struct fcgi_option *option)
{
    return option->kind != FCGI_OPTION_TEXT && option->kind != FCGI_OPTION_WORD &&
           option->kind != FCGI_OPTION_SWITCH;
}

static void store(struct fcgi_config *config, const struct fcgi_option *option, int64_t number)
{
    char *at = (char *)config + option->offset;

    if (option->size == sizeof(int)) {
        int narrow = (int)number;
        memcpy(at, &narrow, sizeof narrow);
    } else {
        memcpy(at, &number, sizeof number);
    }
}

static int64_t load(const struct fcgi_config *config, const struct fcgi_option *option)
{
    const char *at = (const char *)config + option->offset;
    int narrow;
    int64_t number;

    if (option->size == sizeof(int)) {
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    }
    memcpy(&number, at, sizeof number);
    return number;
}

/* Which of the words "a|b|c" text is, or -1. */
static int find_word(const char *words, const char *text)
{
    size_t n = strlen(text);
    int i = 0;

    for (;; i++) {
        size_t word_n = strcspn(words, "|");
        if (word_n == n && !memcmp(words, text, n))
            return i;
        if (!words[word_n])
            return -1;
        words += word_n + 1;
    }
}

static int parse_whole(const char *text, int64_t *number)
{
    char *end;

    if (!*text || strspn(text, "-0123456789") != strlen(text))
        return -1;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return errno || *end ? -1 : 0;
}

static int parse_number(const struct fcgi_option *option, const char *text, int64_t *number)
{
    switch (option->kind) {
    case FCGI_OPTION_DURATION:
        if (fcgi_config_duration(text, number))
            return -1;
        break;
    case FCGI_OPTION_SIZE:
        if (fcgi_config_size(text, number))
            return -1;
        break;
    case FCGI_OPTION_CHOICE:
        *number = find_word(option->arg, text);
        return *number < 0 ? -1 : 0;
    default:
        if (parse_whole(text, number))
            return -1;
    }
    return *number < option->min || *number > option->max ? -1 : 0;
}

int fcgi_config_set(struct fcgi_config *config, const struct fcgi_option *option, const char *text)
{
    char *at = (char *)config + option->offset;
    int automatic = option->automatic && !strcmp(text, option->automatic);
    int64_t number = FCGI_AUTO;

    if (option->kind == FCGI_OPTION_SWITCH) {
        store(config, option, 1);
        return 0;
    }
    if (is_number(option)) {
        if (!automatic && parse_number(option, text, &number))
            return -1;
        store(config, option, number);
        return 0;
    }
    if (automatic)
        text = "";
    if (strlen(text) >= option->size ||
        (option->kind == FCGI_OPTION_WORD && find_word(option->arg, text) < 0))
        return -1;
    memset(at, 0, option->size);
    memcpy(at, text, strlen(text));
    return 0;
}

void fcgi_config_describe(const struct fcgi_option *option, char *text, size_t n)
{
    const char * or = option->automatic ? ", or " : "";
    const char *automatic = option->automatic ? option->automatic : "";

    switch (option->kind) {
    case FCGI_OPTION_DURATION:
        snprintf(text, n, "a time such as 90s, 2m, 500ms%s%s, at most 30 days", or, automatic);
        break;
    case FCGI_OPTION_SIZE:
        snprintf(text, n, "a size such as 16MiB, 16m, 4096, from %lld to %lld%s%s",
                 (long long)option->min, (long long)option->max, or, automatic);
        break;
    case FCGI_OPTION_CHOICE:
    case FCGI_OPTION_WORD:
        snprintf(text, n, "one of %s%s%s", option->arg, or, automatic);
        break;
    case FCGI_OPTION_TEXT:
        snprintf(text, n, "at most %zu bytes", option->size - 1);
        break;
    default:
        snprintf(text, n, "a whole number from %lld to %lld%s%s", (long long)option->min,
                 (long long)option->max, or, automatic);
    }
}

void fcgi_config_format(const struct fcgi_config *config, const struct fcgi_option *option,
                        char text[4096])
{
    const char *at = (const char *)config + option->offset;
    int64_t number = is_number(option) ? load(config, option) : 0;

    if (!is_number(option)) {
        snprintf(text, 4096, "%s", *at || !option->automatic ? at : option->automatic);
    } else if (number == FCGI_AUTO && option->automatic) {
        snprintf(text, 4096, "%s", option->automatic);
    } else if (option->kind == FCGI_OPTION_CHOICE) {
        const char *word = option->arg;
        for (; number > 0; number--)
            word += strcspn(word, "|") + 1;
        snprintf(text, 4096, "%.*s", (int)strcspn(word, "|"), word);
    } else {
        snprintf(text, 4096, "%lld%s", (long long)number,
                 option->kind == FCGI_OPTION_DURATION ? "ms" : "");
    }
}
