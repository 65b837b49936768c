NEEDS.libinsight := libmsg
