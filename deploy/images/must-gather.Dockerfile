# The image for `oc adm must-gather --image`: the program as /usr/bin/gather, and a static bash and busybox, because oc
# starts both containers of its pod with bash and copies with tar. hack/images.sh makes the folder root.
FROM scratch
COPY root/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/gather"]
