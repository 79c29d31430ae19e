/* why: the first line is an id, the others are logs of anybody. What is told of them no terminal
 * takes for a command. */
#include "spawn/why.h"
#include "tests/fuzz/fuzz.h"

static void look(struct spawn_why *why, const uint8_t *bytes, size_t n)
{
    while (n != 0) {
        const uint8_t *end = memchr(bytes, '\n', n);
        size_t line_n = end != NULL ? (size_t)(end - bytes) : n;
        uint8_t *line = fuzz_copy(bytes, line_n);

        spawn_why_look(why, (const char *)line, line_n);
        free(line);
        bytes += line_n + (end != NULL);
        n -= line_n + (end != NULL);
    }
}

static void check_text(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        FUZZ_EXPECT(text[i] == '\n' || ((uint8_t)text[i] >= ' ' && text[i] != 0x7f));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct spawn_why_request request; /* large */
    char *id = fuzz_line(&bytes, &n), *text = NULL;
    struct spawn_why why = {.id = id};
    size_t at = 0, text_n = 0, told = 0;
    FILE *out = open_memstream(&text, &text_n);

    FUZZ_EXPECT(out != NULL);
    look(&why, bytes, n);
    FUZZ_EXPECT(!why.failed);
    spawn_why_sort(&why);
    while (spawn_why_next(&why, &at, &request)) {
        FUZZ_EXPECT(request.n_tries >= 0 && request.n_tries <= SPAWN_WHY_TRIES);
        FUZZ_EXPECT(++told <= why.found.n);
        spawn_why_verdict(&request, out);
        spawn_why_story(&why, &request, out);
    }
    fclose(out);
    check_text(text, text_n);
    spawn_why_free(&why);
    free(text);
    free(id);
    return 0;
}
