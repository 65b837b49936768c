NEEDS.libmsg := libbase -lprotobuf-c
