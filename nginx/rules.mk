# Nothing to build: a template, the script that fills it in, and a page.
nginx_files := nginx/15-resnet.envsh nginx/render.sh nginx/templates/resnet.conf.template \
               $(wildcard nginx/html/*.* nginx/html/page/*)
