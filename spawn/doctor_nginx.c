/* doctor_nginx.c: nginx's configuration against ours. It is read from its files, as nginx would
 * read them: nothing is run, and no log is opened for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "spawn/ctl.h"
#include "spawn/doctor.h"

enum { LISTED = 8, DEFAULT_TIMEOUT_MS = 60000, DEFAULT_BODY = 1 << 20 };

/* ---- which nginx ---------------------------------------------------------------------------- */

/* "nginx: master process /usr/sbin/nginx -p DIR -c FILE -g ...": nginx shows its arguments, with a
 * blank between two. */
static void read_master(const char *title, char path[4096])
{
    char prefix[2048] = "", file[2048] = "";

    for (const char *at = title; (at = strchr(at, ' ')); at++) {
        if (!strncmp(at, " -p ", 4))
            snprintf(prefix, sizeof prefix, "%.*s/", (int)strcspn(at + 4, " "), at + 4);
        else if (!strncmp(at, " -c ", 4))
            snprintf(file, sizeof file, "%.*s", (int)strcspn(at + 4, " "), at + 4);
        else if (!strncmp(at, " -g ", 4))
            break; /* directives of any kind follow */
    }
    snprintf(path, 4096, "%s%s",
             *file == '/' ? ""
             : *file      ? prefix
                          : "",
             *file ? file : "/etc/nginx/nginx.conf");
}

/* The first whose configuration leads to work.sock stays read. */
static bool find_running(struct spawn_doctor *doctor, char text[512])
{
    static const char title[] = "nginx: master process";
    char command[4096], path[4096];
    struct spawn_proc proc;
    DIR *dir = NULL;
    bool found = false;

    while (spawn_procs_next(&dir, &proc)) {
        if (found || strcmp(proc.name, "nginx") != 0 ||
            spawn_procs_read(proc.pid, "cmdline", command, sizeof command) < 0 ||
            strncmp(command, title, sizeof title - 1) != 0)
            continue;
        read_master(command, path);
        found = !spawn_nginx_conf_read(&doctor->nginx, path, text) &&
                spawn_doctor_route_next(doctor, -1) >= 0;
        if (found)
            doctor->nginx_master = proc.pid;
        else
            spawn_nginx_conf_free(&doctor->nginx);
    }
    return found;
}

static bool find_configuration(struct spawn_doctor *doctor)
{
    char text[512] = "";

    if (!doctor->nginx_path) {
        if (find_running(doctor, text))
            return true;
        spawn_doctor_say(
            doctor, SPAWN_DOCTOR_WARN, "nginx",
            "start it; or, where it runs in another container, give what nginx -T prints there: "
            "--nginx-conf FILE",
            "no running nginx sends requests to %.200s/work.sock%s%.200s", doctor->config.run_dir,
            *text ? "; " : "", text);
        return false;
    }
    if (spawn_nginx_conf_read(&doctor->nginx, doctor->nginx_path, text)) {
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, "nginx", "correct it: nginx -t says more", "%s",
                         text);
        return false;
    }
    if (spawn_doctor_route_next(doctor, -1) >= 0)
        return true;
    spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, "nginx",
                     "include the site that nginx/render.sh or resnet-fcgi-setup writes",
                     "%.200s sends nothing to %.200s/work.sock", doctor->nginx_path,
                     doctor->config.run_dir);
    return false;
}

static void learn_user(struct spawn_doctor *doctor)
{
    pid_t worker = doctor->nginx_master ? spawn_procs_child(doctor->nginx_master, "nginx") : 0;

    doctor->knows_nginx_user = worker && !spawn_procs_identity(worker, &doctor->nginx_user);
}

/* What stands in the files is what runs, if nginx's newest worker is younger than they are. */
static void check_reloaded(struct spawn_doctor *doctor)
{
    enum { CLOCKS_DIFFER_S = 3 };
    const struct spawn_nginx_conf *nginx = &doctor->nginx;
    struct spawn_proc proc;
    struct stat status;
    DIR *dir = NULL;
    int64_t newest_s = -1;
    int edited = -1;

    while (spawn_procs_next(&dir, &proc)) {
        int64_t started_s =
            proc.parent == doctor->nginx_master ? spawn_procs_started_s(proc.pid) : -1;
        if (started_s > newest_s)
            newest_s = started_s;
    }
    for (int i = 0; i < nginx->n_files && edited < 0; i++)
        if (!stat(nginx->files[i], &status) && status.st_mtime > newest_s + CLOCKS_DIFFER_S)
            edited = i;
    if (newest_s < 0)
        return;
    if (edited >= 0)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "nginx-reloaded",
                         "nginx -t, then nginx -s reload",
                         "%.400s was changed after nginx read it: what follows is what it says now",
                         nginx->files[edited]);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "nginx-reloaded", NULL,
                         "since its files were changed");
}

/* ---- upstreams ------------------------------------------------------------------------------ */

struct listing {
    int work, work_may_be_down; /* entries of work.sock; of these without max_fails=0 */
    int shed;                   /* entries of shed.sock as backup */
};

static struct listing count_servers(const struct spawn_doctor *doctor, int upstream)
{
    const struct spawn_nginx_conf *nginx = &doctor->nginx;
    struct listing listing = {0};

    for (int i = -1; (i = spawn_nginx_conf_next(nginx, upstream, "server", i)) >= 0;) {
        const char *address = spawn_nginx_conf_word(nginx, i, 1);
        if (spawn_doctor_route_is(doctor, address, "work.sock")) {
            listing.work++;
            listing.work_may_be_down += !spawn_nginx_conf_has(nginx, i, "max_fails=0");
        }
        listing.shed += spawn_doctor_route_is(doctor, address, "shed.sock") &&
                        spawn_nginx_conf_has(nginx, i, "backup");
    }
    return listing;
}

/* The worst of all upstreams; a fastcgi_pass without one is an upstream of one server. */
static struct listing worst_listing(const struct spawn_doctor *doctor)
{
    struct listing worst = {.work = 1};

    for (int i = -1, first = 1; (i = spawn_doctor_route_upstream(doctor, i)) >= 0; first = 0) {
        struct listing listing = count_servers(doctor, i);
        if (first || listing.work < worst.work)
            worst.work = listing.work;
        if (first || listing.shed < worst.shed)
            worst.shed = listing.shed;
        if (listing.work_may_be_down > worst.work_may_be_down)
            worst.work_may_be_down = listing.work_may_be_down;
    }
    return worst;
}

static void check_upstream(struct spawn_doctor *doctor)
{
    struct listing listing = worst_listing(doctor);

    if (listing.work < LISTED)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "nginx-retries",
                         "list the same server line eight times in the upstream",
                         "work.sock is listed %d times: a request whose worker dies is tried %d "
                         "times at most",
                         listing.work, listing.work);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "nginx-retries", NULL,
                         "work.sock is listed %d times", listing.work);
    if (listing.work_may_be_down)
        spawn_doctor_say(
            doctor, SPAWN_DOCTOR_FAIL, "nginx-max-fails",
            "max_fails=0 on each server line of work.sock",
            "%d entries without it: after one failure nginx calls an idle service down "
            "for 10 s",
            listing.work_may_be_down);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "nginx-max-fails", NULL, "0 on each");
    if (!listing.shed)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "nginx-shed",
                         "server \"unix:.../shed.sock\" max_fails=0 backup; in the upstream",
                         "no backup: a full queue becomes nginx's 502 instead of a paced 503 with "
                         "Retry-After");
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "nginx-shed", NULL, "the backup");
}

/* ---- time-outs and sizes -------------------------------------------------------------------- */

/* The smallest that holds in any location that leads to us, and where that is. */
static int64_t smallest(const struct spawn_doctor *doctor, const char *name,
                        int64_t read(const char *text), int64_t fallback, char where[256])
{
    const struct spawn_nginx_conf *nginx = &doctor->nginx;
    int64_t least = INT64_MAX;

    for (int i = -1; (i = spawn_doctor_route_next(doctor, i)) >= 0;) {
        int holds = spawn_nginx_conf_effective(nginx, nginx->directives[i].parent, name);
        int64_t value = holds < 0 ? fallback : read(spawn_nginx_conf_word(nginx, holds, 1));
        if (value < least) {
            least = value;
            spawn_doctor_route_describe(doctor, holds < 0 ? i : holds, where);
        }
    }
    return least;
}

static void check_timeout(struct spawn_doctor *doctor, const char *check, const char *name)
{
    int64_t budget_ms = doctor->config.request_timeout_ms,
            wanted_ms = doctor->config.read_timeout_ms;
    char where[256], has[32], budget[32], remedy[512];
    int64_t found_ms = smallest(doctor, name, spawn_nginx_conf_time_ms, DEFAULT_TIMEOUT_MS, where);

    spawn_ctl_duration(found_ms, has);
    spawn_ctl_duration(budget_ms, budget);
    snprintf(remedy, sizeof remedy,
             "%s %lldms; or render the site again with this RESNET_REQUEST_TIMEOUT, then nginx -s "
             "reload",
             name, (long long)wanted_ms);
    if (found_ms <= budget_ms)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, check, remedy,
                         "%s is %s, a request may take %s: nginx gives up first; %s", name, has,
                         budget, where);
    else if (found_ms < wanted_ms)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, check, remedy,
                         "%s is %s, hardly more than a request's %s; %s", name, has, budget, where);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, check, NULL, "%s, a request may take %s", has,
                         budget);
}

static void check_body(struct spawn_doctor *doctor)
{
    int64_t wanted = doctor->config.max_body;
    char where[256], has[32], needs[32], remedy[512];
    int64_t found =
        smallest(doctor, "client_max_body_size", spawn_nginx_conf_size_bytes, DEFAULT_BODY, where);

    spawn_ctl_size(found, has);
    spawn_ctl_size(wanted, needs);
    snprintf(remedy, sizeof remedy, "client_max_body_size %lld;, or lower RESNET_MAX_BODY",
             (long long)wanted);
    if (found && found < wanted) /* 0: no limit */
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "nginx-body", remedy,
                         "client_max_body_size is %s, RESNET_MAX_BODY %s; %s", has, needs, where);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "nginx-body", NULL, "%s at most", needs);
}

static void check_shutdown(struct spawn_doctor *doctor)
{
    int i = spawn_nginx_conf_effective(&doctor->nginx, SPAWN_NGINX_TOP, "worker_shutdown_timeout");
    int64_t found_ms =
        i < 0 ? 0 : spawn_nginx_conf_time_ms(spawn_nginx_conf_word(&doctor->nginx, i, 1));
    char has[32], remedy[512];

    spawn_ctl_duration(found_ms, has);
    snprintf(remedy, sizeof remedy, "worker_shutdown_timeout %lldms",
             (long long)doctor->config.drain_timeout_ms);
    if (found_ms > 0 && found_ms < doctor->config.request_timeout_ms)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "nginx-shutdown", remedy,
                         "worker_shutdown_timeout is %s: nginx -s reload cuts requests that take "
                         "longer",
                         has);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "nginx-shutdown", NULL, "%s",
                         found_ms > 0 ? has : "a reload waits for requests");
}

/* Of the nginx that runs here: bodies larger than a buffer, and lines of its log. */
static void check_disks(struct spawn_doctor *doctor)
{
    static const struct {
        const char *check, *directive;
    } places[] = {{"nginx-log-disk", "access_log"}, {"nginx-bodies", "client_body_temp_path"}};
    const struct spawn_nginx_conf *nginx = &doctor->nginx;
    int block = nginx->directives[spawn_doctor_route_next(doctor, -1)].parent;

    for (size_t i = 0; doctor->nginx_master && i < sizeof places / sizeof *places; i++) {
        int holds = spawn_nginx_conf_effective(nginx, block, places[i].directive);
        const char *path = spawn_nginx_conf_word(nginx, holds, 1);
        if (*path == '/' && strncmp(path, "/dev/", 5) != 0)
            spawn_doctor_disk(doctor, places[i].check, path);
    }
}

/* ---- what is passed on, and when again ------------------------------------------------------ */

/* The first location that leads to us in which is_wrong(); -1: none. */
static int first_wrong(const struct spawn_doctor *doctor,
                       bool is_wrong(const struct spawn_nginx_conf *nginx, int block))
{
    for (int i = -1; (i = spawn_doctor_route_next(doctor, i)) >= 0;)
        if (is_wrong(&doctor->nginx, doctor->nginx.directives[i].parent))
            return i;
    return -1;
}

static bool is_set(const struct spawn_nginx_conf *nginx, int block, const char *name,
                   const char *value)
{
    int i = spawn_nginx_conf_effective(nginx, block, name);

    return i >= 0 && !strcmp(spawn_nginx_conf_word(nginx, i, 1), value);
}

static bool runs_slow_requests_twice(const struct spawn_nginx_conf *nginx, int block)
{
    int i = spawn_nginx_conf_effective(nginx, block, "fastcgi_next_upstream");

    return i < 0 || spawn_nginx_conf_has(nginx, i, "timeout");
}

static bool does_not_retry(const struct spawn_nginx_conf *nginx, int block)
{
    int i = spawn_nginx_conf_effective(nginx, block, "fastcgi_next_upstream");

    return !spawn_nginx_conf_has(nginx, i, "non_idempotent") ||
           !spawn_nginx_conf_has(nginx, i, "error");
}

static bool keeps_connections(const struct spawn_nginx_conf *nginx, int block)
{
    return is_set(nginx, block, "fastcgi_keep_conn", "on");
}

static bool passes_slow_uploads_on(const struct spawn_nginx_conf *nginx, int block)
{
    return is_set(nginx, block, "fastcgi_request_buffering", "off");
}

static bool replaces_errors(const struct spawn_nginx_conf *nginx, int block)
{
    return is_set(nginx, block, "fastcgi_intercept_errors", "on");
}

/* Parameters are inherited only by blocks that set none. */
static bool has_parameter(const struct spawn_nginx_conf *nginx, int block, const char *name,
                          const char *value)
{
    int any = spawn_nginx_conf_effective(nginx, block, "fastcgi_param");

    if (any < 0)
        return false;
    block = nginx->directives[any].parent;
    for (int i = -1; (i = spawn_nginx_conf_next(nginx, block, "fastcgi_param", i)) >= 0;)
        if (!strcmp(spawn_nginx_conf_word(nginx, i, 1), name) &&
            !strcmp(spawn_nginx_conf_word(nginx, i, 2), value))
            return true;
    return false;
}

static bool lacks_msec(const struct spawn_nginx_conf *nginx, int block)
{
    return !has_parameter(nginx, block, "MSEC", "$msec");
}

static bool lacks_id(const struct spawn_nginx_conf *nginx, int block)
{
    return !has_parameter(nginx, block, "REQUEST_ID", "$request_id");
}

static const struct rule {
    const char *check;
    enum spawn_doctor_level level;
    bool (*is_wrong)(const struct spawn_nginx_conf *nginx, int block);
    const char *found, *remedy, *good;
} rules[] = {
    {"nginx-timeout", SPAWN_DOCTOR_FAIL, runs_slow_requests_twice,
     "fastcgi_next_upstream has timeout, which is its default: a slow request runs twice",
     "fastcgi_next_upstream error invalid_header non_idempotent;", "a slow request runs once"},
    {"nginx-next", SPAWN_DOCTOR_FAIL, does_not_retry,
     "fastcgi_next_upstream lacks error or non_idempotent: a POST whose worker dies is lost",
     "fastcgi_next_upstream error invalid_header non_idempotent;",
     "a POST whose worker dies is sent to the next"},
    {"nginx-keep", SPAWN_DOCTOR_FAIL, keeps_connections,
     "fastcgi_keep_conn is on: a connection would hold a worker between two requests",
     "fastcgi_keep_conn off;, and no keepalive in the upstream", "a connection a request"},
    {"nginx-uploads", SPAWN_DOCTOR_WARN, passes_slow_uploads_on,
     "fastcgi_request_buffering is off: a slow upload holds a worker",
     "fastcgi_request_buffering on;", "a worker is given whole bodies"},
    {"nginx-errors", SPAWN_DOCTOR_WARN, replaces_errors,
     "fastcgi_intercept_errors is on: clients do not see which error it was",
     "fastcgi_intercept_errors off;", "our errors are passed on"},
    {"nginx-msec", SPAWN_DOCTOR_WARN, lacks_msec,
     "MSEC is not passed: time in the queue does not count towards a request's budget",
     "fastcgi_param MSEC $msec;", "time in the queue counts"},
    {"nginx-id", SPAWN_DOCTOR_WARN, lacks_id,
     "REQUEST_ID is not passed: a request that kills workers cannot be told from others",
     "fastcgi_param REQUEST_ID $request_id;", "each request has nginx's id"},
};

static void check_rule(struct spawn_doctor *doctor, const struct rule *rule)
{
    int wrong = first_wrong(doctor, rule->is_wrong);
    char where[256];

    if (wrong < 0) {
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, rule->check, NULL, "%s", rule->good);
        return;
    }
    spawn_doctor_route_describe(doctor, wrong, where);
    spawn_doctor_say(doctor, rule->level, rule->check, rule->remedy, "%s; %s", rule->found, where);
}

void spawn_doctor_nginx(struct spawn_doctor *doctor)
{
    if (!find_configuration(doctor))
        return;
    learn_user(doctor);
    spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "nginx", NULL, "%.400s", doctor->nginx.files[0]);
    if (doctor->nginx_master)
        check_reloaded(doctor);
    check_upstream(doctor);
    check_timeout(doctor, "nginx-read", "fastcgi_read_timeout");
    check_timeout(doctor, "nginx-send", "fastcgi_send_timeout");
    check_body(doctor);
    check_shutdown(doctor);
    check_disks(doctor);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        check_rule(doctor, &rules[i]);
    spawn_doctor_clients(doctor);
}
