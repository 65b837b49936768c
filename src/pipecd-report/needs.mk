NEEDS.pipecd-report := libtext libmsg
