NEEDS.libstore := libmsg
