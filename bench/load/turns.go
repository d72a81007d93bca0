// Puts to two servers in turns so short that both meet the same moods of a shared machine.
package main

import (
	"context"
	"math/rand/v2"
	"sort"
	"time"
)

// A turn is longer than a put and shorter than a machine keeps one speed. No two pairs of turns need be equal: nothing
// that the servers or the machine do at intervals keeps step with them.
const turnMin, turnMax = 40 * time.Millisecond, 120 * time.Millisecond

// putTurns puts to o.endpoint and to o.other in turns, for o.seconds. What it measures is of the former, and
// extra.ratio the median over pairs of turns of its rate by the other's; extra.operationsOfBoth is what was put to both.
func putTurns(_ context.Context, o options) (result, error) {
	loop, err := newRawLoop(o)
	if err != nil {
		return result{}, err
	}
	defer loop.close()
	var sides [2][]*rawConnection
	for side, endpoint := range []string{o.endpoint, o.other} {
		o.endpoint = endpoint
		if sides[side], err = loop.openAll(o); err != nil {
			return result{}, err
		}
	}
	var ratios []float64
	var latencies []time.Duration
	took, operations := time.Duration(0), 0
	began := time.Now()
	random := rand.New(rand.NewPCG(1, 0x7475726e))
	for pair := 0; pair == 0 || time.Since(began).Seconds() < o.seconds; pair++ {
		var rates [2]float64
		length := turnMin + time.Duration(random.Int64N(int64(turnMax-turnMin)))
		for turn := range sides {
			// Each begins every other pair, lest one always meets what the other has left to do.
			side := (turn + pair) % len(sides)
			turned, turnTook, err := loop.turnOf(sides[side], o, length)
			if err != nil {
				return result{}, err
			}
			rates[side] = float64(len(turned)) / turnTook.Seconds()
			operations += len(turned)
			if side == 0 {
				latencies = append(latencies, turned...)
				took += turnTook
			}
		}
		ratios = append(ratios, rates[0]/rates[1])
	}
	sort.Float64s(ratios)
	summary := measured(len(latencies), took, latencies)
	summary.Extra = map[string]float64{"ratio": ratios[len(ratios)/2], "operationsOfBoth": float64(operations)}
	return summary, nil
}

// turnOf puts for so long, and until all is answered.
func (l *rawLoop) turnOf(connections []*rawConnection, o options, length time.Duration) ([]time.Duration, time.Duration, error) {
	began := time.Now()
	all, err := start(connections, o, putCalls(o), func(int) bool { return time.Since(began) < length })
	if err == nil {
		err = l.turnWhile(func() bool { return all.inFlight > 0 })
	}
	return all.latencies, time.Since(began), err
}
