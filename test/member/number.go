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
