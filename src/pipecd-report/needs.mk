NEEDS.pipecd-report := libtext libjournal libsandbox libsuper libgrpc libloop libbus libconf libmsg
