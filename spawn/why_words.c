/* why_words.c: the words of verdict and story. */
#include <string.h>

#include "spawn/printable.h"
#include "spawn/why.h"

void spawn_why_words_worker(struct fcgi_buffer *text, const struct spawn_why_request *request,
                            const struct spawn_why_try *try)
{
    if (try->shed)
        fcgi_buffer_text(text, "resnet-control");
    else if (*try->slot)
        fcgi_buffer_format(text, "worker %s.%s", try->slot, try->gen);
    else
        fcgi_buffer_format(text, "worker pid %s", try->pid);
    if (request->several_hosts && *try->host)
        fcgi_buffer_format(text, " of %s", try->host);
}

/* A worker's own lines have the layer's name, the supervisor's have its number, too. */
void spawn_why_words_place(struct fcgi_buffer *text, const struct spawn_logline *line)
{
    const char *stage = spawn_logline_get(line, "stage");
    const char *layer = spawn_logline_get(line, "layer_name");

    if (!*layer && !*spawn_logline_get(line, "worker_pid"))
        layer = spawn_logline_get(line, "layer");
    if (*stage)
        fcgi_buffer_format(text, " in %s%s%s", stage, *layer ? ", " : "", layer);
}

void spawn_why_words_ms(struct fcgi_buffer *text, double ms)
{
    if (ms < 1000)
        fcgi_buffer_format(text, "%.1f ms", ms);
    else
        fcgi_buffer_format(text, "%.2f s", ms / 1000);
}

void spawn_why_words_end(struct fcgi_buffer *text, const struct spawn_logline *lost)
{
    const char *end = spawn_logline_get(lost, "end"), *how = spawn_logline_get(lost, "how");
    int sig = 0;

    sscanf(how, "signal:%3d", &sig);
    if (!strcmp(end, "killed"))
        fcgi_buffer_format(text,
                           "was ended by signal %d (%s), which the supervisor did not send: "
                           "somebody's kill, or the kernel's for want of memory",
                           sig, strsignal(sig));
    else if (!strcmp(end, "drain_timeout"))
        fcgi_buffer_text(text, "was killed: it had been told to leave, and RESNET_DRAIN_TIMEOUT "
                               "was over");
    else if (!strcmp(end, "stuck"))
        fcgi_buffer_text(text, "was killed by the supervisor");
    else if (!strcmp(end, "model_changed"))
        fcgi_buffer_text(text, "left without an answer: the model file had been changed in place "
                               "while it computed");
    else if (!strcmp(end, "drained"))
        fcgi_buffer_text(text, "was killed by a fast stop");
    else if (!strcmp(end, "crashed"))
        fcgi_buffer_format(text, "crashed, by signal %d (%s)", sig, strsignal(sig));
    else
        fcgi_buffer_format(text, "ended (%s, %s)", end, how);
}

void spawn_why_words_syscall(struct fcgi_buffer *text, const struct spawn_logline *violation)
{
    const char *name = spawn_logline_get(violation, "syscall");

    fcgi_buffer_text(text, strcmp(name, "?") ? name : "something that it could not name any more");
}

void spawn_why_words_print(struct fcgi_buffer *text, FILE *out)
{
    if (text->failed)
        fputs("(no memory to tell this)", out);
    else
        spawn_printable_write(text->bytes, text->n, out);
    fputc('\n', out);
    fcgi_buffer_reset(text);
}
