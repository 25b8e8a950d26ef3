package admin_test

const memberVar = "CAUSEWAY_TEST_MEMBER"

func runMember() int { return 0 }
