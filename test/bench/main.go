// Command bench measures the operator against what it could be compared to, each pair in the same run: publishing
// records against a bare create loop, the ledger against a bare map, the memory of what is metered against a cache of
// the same objects, reports against databases, and what they say against what sampling says, a restart against a list of
// objects, changes against a watch of them, and the journal against an object per resource-hour.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// settings are the command line.
type settings struct {
	only   []int
	rounds int
	quick  bool
	// restarted is how many resources benchmark 6 has.
	restarted int
	// growth are the paces of benchmark 11, and profiles is where its heap profiles go.
	growth, profiles string
	output           string
	tell             *progress
}

// benchmark is one row of the list of benchmarks.
type benchmark struct {
	number int
	name   string
	run    func(context.Context, *settings) ([]Figure, error)
}

var benchmarks = []benchmark{
	{1, "publish", benchmarkPublish},
	{2, "ledger", benchmarkLedger},
	{3, "memory", benchmarkMemory},
	{4, "report", benchmarkReport},
	{4, "refresh", benchmarkRefresh},
	{5, "accuracy", benchmarkAccuracy},
	{6, "restart", benchmarkRestart},
	{7, "storage", benchmarkStorage},
	{8, "churn", benchmarkChurn},
	{9, "soak", benchmarkSoak},
	{10, "serve", benchmarkServe},
	{11, "growth", benchmarkGrowth},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == childCommand {
		exit(runChild(ctx, os.Args[2:]))
	}
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, s)
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func parse(args []string) (*settings, error) {
	s := &settings{tell: newProgress(os.Stderr)}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var all []string
	for _, b := range benchmarks {
		all = append(all, strconv.Itoa(b.number))
	}
	only := flags.String("only", strings.Join(slices.Compact(all), ","), "The `numbers` of the benchmarks to run.")
	flags.IntVar(&s.rounds, "rounds", 5, "How often each side is measured; the medians are compared.")
	flags.BoolVar(&s.quick, "quick", false, "A tenth of the work: to see that it runs, not to compare.")
	flags.IntVar(&s.restarted, "restarted", restartResources, "How many resources benchmark 6 has. For 100,000 the API server alone takes 8 to 10 GiB of memory.")
	flags.StringVar(&s.growth, "growth", "2000x365,20000x30", "How many `pods` an hour there are for how many days, in benchmark 11.")
	flags.StringVar(&s.profiles, "profiles", "", "The `folder` for heap profiles of each day of benchmark 11; none by default.")
	flags.StringVar(&s.output, "output", "results.json", "The `file` for all figures of all runs; none where it is empty.")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	for text := range strings.SplitSeq(*only, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || !slices.ContainsFunc(benchmarks, func(b benchmark) bool { return b.number == n }) {
			return nil, fmt.Errorf("--only=%s: there is no benchmark %q; there are %s", *only, text, strings.Join(slices.Compact(all), ", "))
		}
		s.only = append(s.only, n)
	}
	if s.rounds < 1 {
		return nil, fmt.Errorf("--rounds=%d: want at least 1", s.rounds)
	}
	return s, nil
}

func run(ctx context.Context, s *settings) error {
	results := Results{Machine: thisMachine(), Rounds: s.rounds, Quick: s.quick}
	fmt.Println(results.Machine)
	for _, b := range benchmarks {
		if !slices.Contains(s.only, b.number) {
			continue
		}
		s.tell.section(fmt.Sprintf("%d %s", b.number, b.name))
		figures, err := b.run(ctx, s)
		if err != nil {
			return fmt.Errorf("%d %s: %w", b.number, b.name, err)
		}
		for i := range figures {
			figures[i].Benchmark = fmt.Sprintf("%d %s", b.number, b.name)
		}
		results.Figures = append(results.Figures, figures...)
	}
	results.print(os.Stdout)
	return results.save(s.output)
}
