NEEDS.pipecd-report-summary := libjournal libtext libconf libmsg libhash
