archives += libspawn.a
libspawn.a_src := $(filter-out %_main.c,$(wildcard spawn/*.c))

# All three link libc and nothing else, but for resnet-control's sandbox: what they take from
# libfcgi-app.a (configuration, log, scoreboard, CPUs, JSON, records) is plain C.
programs += resnet-spawn resnet-control resnet-ctl
resnet-spawn_src      := spawn/spawn_main.c
resnet-spawn_libs     := libspawn.a libfcgi-app.a
resnet-spawn_ldlibs   :=
resnet-control_src    := spawn/control_main.c
resnet-control_libs   := libspawn.a libfcgi-app.a
resnet-control_ldlibs := -lseccomp
resnet-ctl_src        := spawn/ctl_main.c
resnet-ctl_libs       := libspawn.a libfcgi-app.a
resnet-ctl_ldlibs     :=
