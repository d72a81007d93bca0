package member

import (
	"os"
	"strconv"
	"testing"
)

// Number is what the environment variable says, or the fallback where it is not set.
func Number[N int | uint64](t testing.TB, variable string, fallback N) N {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return fallback
	}
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: %v", variable, text, err)
	}
	return N(number)
}

// FullDepth is whether tests run at their full length.
func FullDepth() bool { return os.Getenv("NETCD_TEST_DEPTH") == "full" }

// Depth is how often something that needs length is done: the number at NETCD_TEST_DEPTH=full, else a tenth of it.
func Depth[N int | uint64](full N) N {
	if FullDepth() {
		return full
	}
	return max(1, full/10)
}
