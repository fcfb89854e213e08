package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/usage-operator/usage-operator/test/bench/cluster"
)

const (
	// memoryRounds is enough: the same objects take the same memory each time, within a percent.
	memoryRounds = 3
	// childPatience is how long a child may take.
	childPatience = 10 * time.Minute
)

// benchmarkMemory has the collector meter virtual machines and pods, and controller-runtime's cache keep the same
// objects, each in a process of its own. Both read from a server that makes the objects up as they are listed.
func benchmarkMemory(ctx context.Context, s *settings) ([]Figure, error) {
	sizes := []int{10_000, 50_000, 100_000}
	if s.quick {
		sizes = []int{1_000, 5_000, 10_000}
	}
	empty := map[string]sample{}
	for _, side := range []string{sideOurs, sidePeer} {
		var err error
		if empty[side], err = s.inChild(ctx, side, 0); err != nil {
			return nil, err
		}
	}
	rounds := min(s.rounds, memoryRounds)
	var figures []Figure
	for _, size := range sizes {
		bytesPer := map[string][]float64{}
		peaks, seconds, cpus := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
		last := map[string]sample{}
		for round := range rounds {
			for _, side := range []string{sideOurs, sidePeer} {
				at, err := s.inChild(ctx, side, size)
				if err != nil {
					return nil, err
				}
				last[side] = at
				bytesPer[side] = append(bytesPer[side], (at.LiveHeap-empty[side].LiveHeap)/float64(size))
				peaks[side] = append(peaks[side], at.ColdPeakRSS/at.SteadyRSS)
				seconds[side] = append(seconds[side], at.ColdSeconds)
				cpus[side] = append(cpus[side], at.EventCPUMicros)
				s.tell.say("%s resources, round %d of %d: %s: %s bytes a resource, cold start in %.1f s with %s MiB at most, steady %s MiB",
					quantity(float64(size)), round+1, rounds, side, quantity(bytesPer[side][round]), at.ColdSeconds,
					quantity(at.ColdPeakRSS/(1<<20)), quantity(at.SteadyRSS/(1<<20)))
			}
		}
		work := quantity(float64(size)) + " VMs and pods, half each"
		const against = "controller-runtime's cache"
		live := newFigure(work, "bytes of live heap a resource", bytesPer[sideOurs], bytesPer[sidePeer]).against(against).ratioAtMost(0.1).atMost(1024)
		cold := newFigure(work, "cold start: most RSS, over that under changes", peaks[sideOurs], peaks[sidePeer]).against(against).atMost(1.5)
		took := newFigure(work, "cold start: seconds", seconds[sideOurs], seconds[sidePeer]).against(against)
		cpu := newFigure(work, "microseconds of CPU a change", cpus[sideOurs], cpus[sidePeer]).against(against)
		instance, pod := cluster.Size()
		live.Notes = map[string]float64{"bytesPerVM": float64(instance), "bytesPerPod": float64(pod), "emptyHeap": empty[sideOurs].LiveHeap}
		cold.Notes = map[string]float64{
			"ourPeakRSS": last[sideOurs].ColdPeakRSS, "ourSteadyRSS": last[sideOurs].SteadyRSS, "ourIdleRSS": last[sideOurs].IdleRSS,
			"ourPeakHeap": last[sideOurs].ColdPeakHeap, "ourSteadyHeap": last[sideOurs].SteadyHeap,
			"peerPeakRSS": last[sidePeer].ColdPeakRSS, "peerSteadyRSS": last[sidePeer].SteadyRSS, "peerIdleRSS": last[sidePeer].IdleRSS,
		}
		figures = append(figures, live, cold, took, cpu)
	}
	return figures, nil
}

// inChild measures one side in a process of its own.
func (s *settings) inChild(ctx context.Context, side string, size int) (sample, error) {
	defer s.tell.during(fmt.Sprintf("%s: %s resources", side, quantity(float64(size))), nil)()
	ctx, cancel := context.WithTimeout(ctx, childPatience)
	defer cancel()
	instances := size / 2
	server := httptest.NewServer(cluster.New(instances, size-instances))
	defer server.Close()
	defer server.CloseClientConnections()
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	var out bytes.Buffer
	child := exec.CommandContext(ctx, self, childCommand, side, server.URL, strconv.Itoa(instances), strconv.Itoa(size-instances))
	child.Stdout, child.Stderr = &out, os.Stderr
	if err := child.Run(); err != nil {
		return sample{}, fmt.Errorf("%s with %d resources: %w", side, size, err)
	}
	var at sample
	return at, json.Unmarshal(out.Bytes(), &at)
}
