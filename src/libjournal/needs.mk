NEEDS.libjournal := libmsg libhash
