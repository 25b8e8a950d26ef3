package tunnel

// The bytes of wire version 1, as it was first released.
const (
	goldenPing  = "0900000000000000"
	goldenHello = "010100000000000000070467772d310775732d65617374"
	goldenOpen  = "01000005dc000000000000002a00500473686f7008636865636b6f7574"
)
