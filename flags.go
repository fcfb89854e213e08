package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection"

	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/hub/sender"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// options are the command line.
type options struct {
	interval, refresh, retention        time.Duration
	flush, sealTimeout, checkEvery      time.Duration
	recordBudget, journalBudget         size
	reportBudget                        size
	deployments                         int64
	usageMemory                         size
	usageConnections                    int
	ownerKinds                          kinds
	namespace                           string
	concurrency                         int
	leaderElect                         bool
	leaseDuration, renewDeadline, retry time.Duration
	probeAddress, metricsAddress        string
	metricsSecure                       bool
	metricsCertificates                 string
	metricsSeries                       int
	metricsDeployments                  bool
	metricsNamespaces                   selector
	usageAddress, usageCertificates     string
	usageClusterTokens                  bool
	usageRate                           float64
	serveOnly                           bool
	archive                             string
	archiveCut                          bool
	hub                                 sender.Place
	hotDays                             int64
	scratch                             string
	scratchSize                         size
	installMeters                       bool
	extraMeters                         string
	logFormat, logLevel                 string
	pprofAddress                        string
}

// maxHotDays is a hundred years.
const maxHotDays = 36_500

const about = `usage-operator meters what is held in this cluster, exactly to the second, and
writes it down as UsageRecords: kubectl get usagerecords -A.

What is metered is said by UsageMeters: kubectl get usagemeters.

Usage:
  usage-operator [flags]
  usage-operator check [flags]     Check that it is installed as it should be.
  usage-operator verify [flags]    Verify that the ledger adds up.
  usage-operator archive COMMAND   List, verify, export, restore archived days.

usage-operator COMMAND --help says more of each.

Each flag can be an environment variable instead, USAGE_OPERATOR_HOT_DAYS for
--hot-days, or a key of the file that --config names, hotDays. The command line
wins over the environment, and that over the file.

`

// parse reads the command line. It gives pflag.ErrHelp where that asks to be told
// something, and nothing is to be run.
func parse(args []string) (*options, error) {
	o := &options{}
	flags := commandLine(o)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.Lookup("version").Value.String() == "true" {
		fmt.Fprintln(os.Stdout, "usage-operator", version)
		return nil, pflag.ErrHelp
	}
	if err := fill(flags, os.LookupEnv); err != nil {
		return nil, err
	}
	return o, o.validate(flags.Args())
}

// commandLine are all flags, those too that say where the others are, and that end the program.
func commandLine(o *options) *pflag.FlagSet {
	flags := o.flags()
	flags.String("config", "", "A `file` with what the command line and the environment leave open: YAML, of kind UsageOperatorConfiguration.")
	flags.Bool("version", false, "Print the version and end.")
	flags.AddGoFlagSet(flag.CommandLine) // --kubeconfig
	group(flags, "This program")
	return flags
}

// flags are those that say how the operator runs. They set the options, to the defaults at once.
func (o *options) flags() *pflag.FlagSet {
	*o = options{recordBudget: 512 << 20, journalBudget: 1 << 30, reportBudget: 64 << 20, usageMemory: 64 << 20, scratchSize: 1 << 30}
	flags := pflag.NewFlagSet("usage-operator", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() { fmt.Fprint(os.Stderr, about+usages(flags)) }
	flags.DurationVar(&o.interval, "interval", time.Hour, "How long the interval of one record is. It divides an hour, and is at least 1m. Intervals are aligned to UTC.")
	flags.DurationVar(&o.refresh, "live-refresh", 5*time.Minute, "How often the Open record of the current interval is brought up to date, at most; a new deployment's is sooner, at first. 0: there are no Open records.")
	flags.DurationVar(&o.retention, "record-retention", 72*time.Hour, "How long a record is kept after its interval ended.")
	flags.Var(&o.recordBudget, "record-budget", "How many `bytes` all records may take in etcd. Over it, older ones of namespaces that take more than their share are pruned before their time; the ledger keeps what they say. 0: any.")
	flags.Int64Var(&o.deployments, "deployments-per-namespace", 1000, "How many deployments of one namespace have records of their own in one interval: those that held something for longest. The others are in one record. 0: any.")
	flags.Var(&o.journalBudget, "journal-budget", "How many `bytes` the journal may take in etcd. Over it nothing is deleted: an event, a metric and the UsageMeters' conditions say so. 0: any.")
	flags.Var(&o.reportBudget, "report-budget", "How many `bytes` the statuses of all UsageReports may take in etcd. Over it, namespaces whose reports take more than an equal share have reports that are Stalled. 0: any.")
	group(flags, "Records, journal and reports")
	flags.DurationVar(&o.flush, "flush-interval", 5*time.Second, "How often changes are written to the journal, at most. What happens in between is replayed after a crash.")
	flags.DurationVar(&o.sealTimeout, "seal-timeout", 10*time.Minute, "How long after its end an interval waits for a kind that cannot be read. Then the rest of it is Unknown for that kind's meters, and the interval is sealed without.")
	flags.DurationVar(&o.checkEvery, "check-interval", 30*time.Minute, "How often all that is known of a kind is compared with what there is, so that an event that never arrived is found. 0: never.")
	flags.Var(&o.ownerKinds, "owner-kinds", "`Kinds` that control what is metered, as Rollout.argoproj.io,Set.apps.example.com: they are followed from the first object on that names one as its owner. Known ones need not be named.")
	flags.BoolVar(&o.installMeters, "install-meters", false, "Create the built-in UsageMeters, each once: one that is edited or deleted stays so.")
	flags.StringVar(&o.extraMeters, "extra-meters", "", "A `folder` with more UsageMeters, each in a file *.yaml. They are applied when this replica starts to meter, over what others changed in them.")
	group(flags, "What is metered, and how")
	flags.StringVar(&o.namespace, "namespace", ownNamespace(), "The operator's own namespace: for its Lease, and for the usage of cluster-scoped resources and of namespaces that are gone.")
	flags.IntVar(&o.concurrency, "publish-concurrency", 16, "How many accounts' records are written at the same time.")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "Take part in leader election: of several replicas one meters, the others stand by.")
	flags.DurationVar(&o.leaseDuration, "leader-elect-lease-duration", 15*time.Second, "How long a standby waits before it takes over from a leader that is silent.")
	flags.DurationVar(&o.renewDeadline, "leader-elect-renew-deadline", 10*time.Second, "How long the leader tries to renew its lease before it ends.")
	flags.DurationVar(&o.retry, "leader-elect-retry-period", 2*time.Second, "How long replicas wait between two tries.")
	group(flags, "Replicas")
	flags.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "Where /healthz and /readyz are served. Ready is: metering, or standing by. 0: nowhere.")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443", "Where /metrics is served. 0: nowhere.")
	flags.BoolVar(&o.metricsSecure, "metrics-secure", true, "Serve metrics by HTTPS, to those who may get the URL /metrics. false: by plain HTTP, to everybody.")
	flags.StringVar(&o.metricsCertificates, "metrics-cert-dir", "", "A directory with tls.crt and tls.key for metrics. Empty: a self-signed certificate.")
	flags.IntVar(&o.metricsSeries, "usage-metrics-series", 2000, "How many series each metric of usage may have, beside those of the namespace \"(other)\", which have the rest. 0: there is only the rest.")
	flags.BoolVar(&o.metricsDeployments, "usage-metrics-deployments", false, "Have metrics of usage a series for each deployment.")
	flags.Var(&o.metricsNamespaces, "usage-metrics-namespaces", "A `selector` of labels, such as team=a,env!=test: the namespaces that may have metrics of usage of their own. Empty: all.")
	group(flags, "Health and metrics")
	flags.StringVar(&o.usageAddress, "usage-api-bind-address", ":8444", "Where the usage API is served by HTTPS, on every replica. 0: nowhere.")
	flags.StringVar(&o.usageCertificates, "usage-api-cert-dir", "", "A directory with tls.crt, tls.key and ca.crt for the usage API, as cert-manager writes them; they are read again when they change. Empty: a certificate authority of the operator's own, in the Secret usage-api-ca.")
	flags.BoolVar(&o.usageClusterTokens, "usage-api-cluster-tokens", true, "Accept tokens for the usage API that are for the API server. false: only those for the audience "+wire.Audience+", and client certificates.")
	flags.Float64Var(&o.usageRate, "usage-api-requests-per-second", 50, "How many requests to the usage API one user may make, and twice as many at once.")
	flags.Var(&o.usageMemory, "usage-api-memory", "About how many `bytes` all answers of the usage API may take that are being made or read, and a quarter of it those of one tenant. What is more waits.")
	flags.IntVar(&o.usageConnections, "usage-api-connections", 1024, "How many connections to the usage API there may be, and half as many from one address.")
	flags.BoolVar(&o.serveOnly, "serve-only", false, "Serve the usage API from the journal that other replicas write, and do nothing else.")
	group(flags, "Usage API")
	flags.StringVar(&o.archive, "archive", "", "Where each day is written to once it is sealed: file:///a/directory, s3://bucket?region=eu-central-1&prefix=ledger/, gs://bucket or azblob://container. The `URL` has no credentials: they come from the environment, as the cloud has it. Empty: nowhere.")
	flags.BoolVar(&o.archiveCut, "archive-cut", false, "Remove from the journal what is in the archive, once the journal says so. Whatever starts later needs the archive to read it.")
	flags.StringVar(&o.hub.URL, "hub-url", "", "Where the leader sends the journal to: a hub that has the ledgers of many clusters, such as https://hub.example.org:8443. Nothing waits for it. Empty: nowhere.")
	flags.StringVar(&o.hub.TokenFile, "hub-token-file", "", "The `file` with the token that usage-hub enrol printed for this cluster. It is read again each time.")
	flags.StringVar(&o.hub.CAFile, "hub-ca-file", "", "The `file` with the certificates that signed the hub's; it is read again each time. Empty: those that the system trusts.")
	flags.BoolVar(&o.hub.Plain, "hub-plain-http", false, "Let --hub-url be one of http: the token is sent as it is. For something in between that has TLS.")
	flags.Int64Var(&o.hotDays, "hot-days", 2, "How many days (UTC), before the one that is being sealed, every replica keeps in memory as they are. Older days are packed: they take less memory, and what needs single segments of them takes longer.")
	flags.StringVar(&o.scratch, "scratch-dir", "", "A `folder` for the days that are packed, of use to this process alone. Empty: they are kept in memory.")
	flags.Var(&o.scratchSize, "scratch-size", "How many `bytes` may lie in --scratch-dir: about 7 a segment. What is more is kept in memory.")
	group(flags, "History")
	flags.StringVar(&o.logFormat, "log-format", "json", "json or console.")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info or error.")
	flags.StringVar(&o.pprofAddress, "pprof-bind-address", "0", "Where Go's profiles are served by HTTP: an address of this machine alone, such as 127.0.0.1:6060, which kubectl port-forward reaches. 0: nowhere.")
	return flags
}

// validate tells all that is wrong with the flags at once, each on a line.
func (o *options) validate(rest []string) error {
	var wrong []error
	if len(rest) > 0 {
		wrong = append(wrong, fmt.Errorf("unknown argument %q: there are flags only", rest[0]))
	}
	if _, err := usage.IntervalLength(o.interval); err != nil {
		wrong = append(wrong, fmt.Errorf("--interval: %w", err))
	}
	if o.archive != "" {
		if err := archive.CheckURL(o.archive); err != nil {
			wrong = append(wrong, fmt.Errorf("--archive: %w", err))
		}
	}
	if o.archiveCut && o.archive == "" {
		wrong = append(wrong, errors.New("--archive-cut: want --archive, too"))
	}
	wrong = append(wrong, o.hubErrors()...)
	for _, check := range slices.Concat(o.checks(), o.leaderChecks()) {
		if check.wrong {
			wrong = append(wrong, fmt.Errorf("--%s=%v: want %s", check.flag, check.value, check.want))
		}
	}
	return errors.Join(wrong...)
}

// hubErrors tells what is wrong with the flags of the hub.
func (o *options) hubErrors() []error {
	if o.hub.URL == "" {
		if o.hub.TokenFile != "" || o.hub.CAFile != "" {
			return []error{errors.New("--hub-token-file, --hub-ca-file: want --hub-url, too")}
		}
		return nil
	}
	var wrong []error
	err := o.hub.CheckURL()
	if errors.Is(err, sender.ErrPlain) {
		err = fmt.Errorf("%w: say --hub-plain-http if it is to be", err)
	}
	if err != nil {
		shown := o.hub.URL
		if parsed, wrong := url.Parse(shown); wrong == nil {
			shown = parsed.Redacted() // logs are read by many
		}
		wrong = append(wrong, fmt.Errorf("--hub-url=%s: %w", shown, err))
	}
	if o.hub.TokenFile == "" {
		wrong = append(wrong, errors.New("--hub-url: want --hub-token-file, too"))
	}
	return wrong
}

// flagCheck is whether a flag's value is wrong, and what is wanted.
type flagCheck struct {
	wrong bool
	flag  string
	value any
	want  string
}

func (o *options) checks() []flagCheck {
	_, level := zapcore.ParseLevel(o.logLevel)
	return []flagCheck{
		{o.retention < o.interval, "record-retention", o.retention, "at least one interval, " + o.interval.String()},
		{o.deployments < 0, "deployments-per-namespace", o.deployments, "0, or more"},
		{o.flush < time.Second, "flush-interval", o.flush, "at least 1s"},
		{o.sealTimeout < 10*time.Second, "seal-timeout", o.sealTimeout, "at least 10s"},
		{o.checkEvery != 0 && o.checkEvery < time.Second, "check-interval", o.checkEvery, "0, or at least 1s"},
		{o.refresh != 0 && o.refresh < time.Second, "live-refresh", o.refresh, "0, or at least 1s"},
		{o.usageRate <= 0, "usage-api-requests-per-second", o.usageRate, "more than 0"},
		{o.usageMemory < 32<<20, "usage-api-memory", &o.usageMemory, "at least 32Mi"},
		{o.usageConnections < 2, "usage-api-connections", o.usageConnections, "at least 2"},
		{o.serveOnly && (o.usageAddress == "" || o.usageAddress == "0"), "usage-api-bind-address", o.usageAddress, "an address, as there is --serve-only"},
		{o.hotDays < 0 || o.hotDays > maxHotDays, "hot-days", o.hotDays, "0 to 36500"},
		{o.metricsSeries < 0, "usage-metrics-series", o.metricsSeries, "0, or more"},
		{o.concurrency < 1, "publish-concurrency", o.concurrency, "at least 1"},
		{o.logFormat != "json" && o.logFormat != "console", "log-format", o.logFormat, "json or console"},
		{level != nil, "log-level", o.logLevel, "debug, info or error"},
		{o.pprofAddress != "0" && !loopback(o.pprofAddress), "pprof-bind-address", o.pprofAddress, "0, or a loopback address, such as 127.0.0.1:6060"},
	}
}

// loopback tells whether only this machine, or pod, reaches an address: profiles name what
// tenants have, and each costs CPU.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && net.ParseIP(host).IsLoopback()
}

// leaderChecks are what client-go wants of the leader election, which would end the operator
// later, and name none of the flags.
func (o *options) leaderChecks() []flagCheck {
	if !o.leaderElect || o.serveOnly {
		return nil
	}
	leastRenew := time.Duration(leaderelection.JitterFactor * float64(o.retry))
	return []flagCheck{
		{o.retry <= 0, "leader-elect-retry-period", o.retry, "more than 0"},
		{o.renewDeadline <= leastRenew, "leader-elect-renew-deadline", o.renewDeadline,
			fmt.Sprintf("more than %s, %v times --leader-elect-retry-period", leastRenew, leaderelection.JitterFactor)},
		{o.leaseDuration <= o.renewDeadline, "leader-elect-lease-duration", o.leaseDuration,
			fmt.Sprintf("more than --leader-elect-renew-deadline, %s", o.renewDeadline)},
	}
}

// kinds is a flag of kinds, such as Rollout.argoproj.io.
type kinds []schema.GroupKind

// Set reads the flag. Given again, it adds to what was given before.
func (k *kinds) Set(text string) error {
	if text == "" {
		return nil
	}
	for name := range strings.SplitSeq(text, ",") {
		kind := schema.ParseGroupKind(strings.TrimSpace(name))
		if kind.Kind == "" || kind.Kind[0] < 'A' || kind.Kind[0] > 'Z' {
			return fmt.Errorf("%q: want kinds, such as Rollout.argoproj.io", name)
		}
		*k = append(*k, kind)
	}
	return nil
}

func (k *kinds) String() string {
	names := make([]string, len(*k))
	for i, kind := range *k {
		names[i] = kind.String()
	}
	return strings.Join(names, ",")
}

// Type is what the value is called in the help.
func (k *kinds) Type() string { return "kinds" }

// selector is a flag of labels, such as team=a.
type selector struct{ labels.Selector }

// Set reads the flag. An empty one selects everything.
func (s *selector) Set(text string) (err error) {
	s.Selector = nil
	if text != "" {
		s.Selector, err = labels.Parse(text)
	}
	return err
}

func (s *selector) String() string {
	if s.Selector == nil {
		return ""
	}
	return s.Selector.String()
}

// Type is what the value is called in the help.
func (*selector) Type() string { return "selector" }

// size is a flag of bytes, such as 512Mi.
type size int64

// Set reads the flag.
func (s *size) Set(text string) error {
	q, err := resource.ParseQuantity(text)
	if err != nil || q.Sign() < 0 {
		return errors.New("want bytes, such as 512Mi, or 0")
	}
	*s = size(q.Value())
	return nil
}

// String writes it as it would be given.
func (s *size) String() string { return resource.NewQuantity(int64(*s), resource.BinarySI).String() }

// Type names its values.
func (s *size) Type() string { return "bytes" }

// ownNamespace is the namespace that the operator runs in, as far as it can tell.
func ownNamespace() string {
	if namespace := os.Getenv("POD_NAMESPACE"); namespace != "" {
		return namespace
	}
	mounted, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err == nil {
		return strings.TrimSpace(string(mounted))
	}
	return "usage-system"
}
