NEEDS.pipectl := libgrpc libstore libtext libconf libmsg
