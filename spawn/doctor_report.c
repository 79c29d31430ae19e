/* doctor_report.c: findings, and how they are told. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fcgi/json.h"
#include "spawn/doctor.h"
#include "spawn/printable.h"

static const char *const level_names[] = {"ok", "warn", "fail"};

void spawn_doctor_say(struct spawn_doctor *doctor, enum spawn_doctor_level level, const char *check,
                      const char *remedy, const char *found, ...)
{
    va_list args;

    if (doctor->n == SPAWN_DOCTOR_MOST)
        return;
    struct spawn_doctor_finding *finding = &doctor->finding[doctor->n++];
    finding->level = level;
    snprintf(finding->check, sizeof finding->check, "%s", check);
    snprintf(finding->remedy, sizeof finding->remedy, "%s", remedy ? remedy : "");
    va_start(args, found);
    vsnprintf(finding->found, sizeof finding->found, found, args);
    va_end(args);
}

int spawn_doctor_count(const struct spawn_doctor *doctor, enum spawn_doctor_level level)
{
    int n = 0;

    for (int i = 0; i < doctor->n; i++)
        n += doctor->finding[i].level == level;
    return n;
}

void spawn_doctor_print_text(const struct spawn_doctor *doctor)
{
    for (int i = 0; i < doctor->n; i++) {
        const struct spawn_doctor_finding *finding = &doctor->finding[i];
        printf("%-5s %-16s ", level_names[finding->level], finding->check);
        spawn_printable_print(finding->found, sizeof finding->found - 1, stdout);
        if (finding->remedy[0]) {
            fputs("\n                       do: ", stdout);
            spawn_printable_print(finding->remedy, sizeof finding->remedy - 1, stdout);
        }
        putchar('\n');
    }
    printf("%d looked at: %d ok, %d to warn of, %d to mend\n", doctor->n,
           spawn_doctor_count(doctor, SPAWN_DOCTOR_OK),
           spawn_doctor_count(doctor, SPAWN_DOCTOR_WARN),
           spawn_doctor_count(doctor, SPAWN_DOCTOR_FAIL));
}

void spawn_doctor_print_json(const struct spawn_doctor *doctor)
{
    struct fcgi_buffer out = {0};

    fcgi_buffer_text(&out, "{\"checks\":[");
    for (int i = 0; i < doctor->n; i++) {
        const struct spawn_doctor_finding *finding = &doctor->finding[i];
        fcgi_buffer_format(&out, "%s{\"check\":\"%s\",\"level\":\"%s\",\"found\":", i ? "," : "",
                           finding->check, level_names[finding->level]);
        fcgi_json_string(&out, finding->found);
        fcgi_buffer_text(&out, ",\"do\":");
        if (finding->remedy[0])
            fcgi_json_string(&out, finding->remedy);
        else
            fcgi_buffer_text(&out, "null");
        fcgi_buffer_text(&out, "}");
    }
    fcgi_buffer_format(&out, "],\"ok\":%d,\"warn\":%d,\"fail\":%d}\n",
                       spawn_doctor_count(doctor, SPAWN_DOCTOR_OK),
                       spawn_doctor_count(doctor, SPAWN_DOCTOR_WARN),
                       spawn_doctor_count(doctor, SPAWN_DOCTOR_FAIL));
    if (!out.failed)
        fwrite(out.bytes, 1, out.n, stdout);
    fcgi_buffer_free(&out);
}
