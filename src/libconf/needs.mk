NEEDS.libconf := libmsg -lyaml
