NEEDS.pipecd-report := libtext libjournal libconf libmsg
