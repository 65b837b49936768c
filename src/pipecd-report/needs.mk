NEEDS.pipecd-report := libtext libjournal libbus libconf libmsg
