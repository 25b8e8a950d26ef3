package policystore

import "strings"

// KeptRevision is the content revision of what a Memory holds; 0 is nothing.
func KeptRevision(data []byte) uint64 {
	v, err := unpack(data)
	if err != nil {
		return 0
	}
	return v.Content
}

// ForgeKept changes a value in what a Memory holds.
func ForgeKept(data []byte, key, from, to string) []byte {
	v, err := unpack(data)
	if err != nil {
		panic(err)
	}
	for i, one := range v.Items {
		if strings.HasSuffix(one.Key, key) {
			v.Items[i].Value = []byte(strings.Replace(string(one.Value), from, to, 1))
		}
	}
	out, err := v.pack()
	if err != nil {
		panic(err)
	}
	return out
}
