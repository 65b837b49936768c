NEEDS.libmsg := libbase -lprotobuf-c -lm
