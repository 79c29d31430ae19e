/* nginx: an nginx configuration, or what nginx -T printed, in memory and as a file. */
#include "spawn/nginx_conf.h"
#include "tests/fuzz/fuzz.h"

enum { LOOKED_AT = 200 };

static void look(const struct spawn_nginx_conf *conf, int i)
{
    const struct spawn_nginx_directive *directive = &conf->directives[i];
    int parent = directive->parent;

    FUZZ_EXPECT(directive->n_words > 0 && directive->line > 0);
    FUZZ_EXPECT(directive->file >= 0 && directive->file < conf->n_files);
    FUZZ_EXPECT(parent >= SPAWN_NGINX_TOP && parent < i);
    FUZZ_EXPECT(parent == SPAWN_NGINX_TOP || conf->directives[parent].is_block);
    for (int w = 0; w < directive->n_words; w++) {
        FUZZ_EXPECT(spawn_nginx_conf_time_ms(directive->words[w]) >= -1);
        FUZZ_EXPECT(spawn_nginx_conf_size_bytes(directive->words[w]) >= -1);
    }
    if (i >= LOOKED_AT)
        return;
    FUZZ_EXPECT(spawn_nginx_conf_next(conf, parent, directive->words[0], i - 1) == i);
    FUZZ_EXPECT(spawn_nginx_conf_find(conf, SPAWN_NGINX_TOP, NULL, i - 1) == i);
    FUZZ_EXPECT(spawn_nginx_conf_effective(conf, parent, directive->words[0]) >= i);
}

/* The same as a file; /proc/self/fd/900 is another one, for it to include. */
static void read_file(const uint8_t *bytes, size_t n)
{
    enum { INCLUDED_FD = 900 };
    static const char included[] = "included on;\nlocation /x { inner; }\n";
    char path[32], other[32], text[512] = "";
    int fd = fuzz_file(bytes, n, path);
    int other_fd = fuzz_file((const uint8_t *)included, sizeof included - 1, other);
    struct spawn_nginx_conf conf = {0};

    FUZZ_EXPECT(dup2(other_fd, INCLUDED_FD) == INCLUDED_FD);
    close(other_fd);
    int failed = spawn_nginx_conf_read(&conf, path, text);
    FUZZ_EXPECT(!failed == !*text);
    for (int i = 0; i < conf.n && !failed; i++)
        look(&conf, i);
    spawn_nginx_conf_free(&conf);
    close(INCLUDED_FD);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *copy = (char *)fuzz_copy(bytes, n), text[512] = "";
    struct spawn_nginx_conf conf = {0};
    int failed = spawn_nginx_conf_parse(&conf, "x", copy, n, text);

    FUZZ_EXPECT(!failed == !*text);
    for (int i = 0; i < conf.n && !failed; i++)
        look(&conf, i);
    spawn_nginx_conf_free(&conf);
    free(copy);
    read_file(bytes, n);
    return 0;
}
