package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/mdpmesh/mesh/internal/leg"
)

// deployed is the directory of units, manifests and images.
var deployed = filepath.Join("..", "..", "deploy")

func readDeployed(t *testing.T, names ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{deployed}, names...)...))
	require.NoError(t, err)
	return string(text)
}

// understood has the command line read as the command itself would, and returns what
// a broker was told, nil where it is another command.
func understood(t *testing.T, args []string) *serving {
	t.Helper()
	root := newRoot(console{getenv: func(string) string { return "" }})
	cmd, rest, err := root.Find(args)
	require.NoError(t, err, "%q", args)
	require.NotEqual(t, root, cmd, "%q", args)
	require.NoError(t, cmd.ParseFlags(rest), "%q", args)
	require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), "%q", args)
	if cmd.Name() != "broker" {
		return nil
	}
	f := cmd.Flags()
	s := &serving{}
	s.listen, err = f.GetStringSlice("listen")
	require.NoError(t, err)
	for name, to := range map[string]*string{"id": &s.id, "curve-keyfile": &s.keyfile, "authorize": &s.authorize} {
		*to, err = f.GetString(name)
		require.NoError(t, err)
	}
	s.drain, err = f.GetDuration("drain-timeout")
	require.NoError(t, err)
	s.heartbeat.Interval, s.heartbeat.Liveness = 2500*time.Millisecond, 3
	require.NoError(t, s.check(), "%q", args)
	return s
}

// Each command in the documents is one that this program understands.
func TestCommandsInDocuments(t *testing.T) {
	t.Parallel()
	line := regexp.MustCompile(`^(?:.* \| |export \w+=\$\()?(?:mesh|go run \./cmd/mesh) (.*?)(?: +#.*| && .*|\))?$`)
	for name, least := range map[string]int{"tutorial.md": 15, "operations.md": 1} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
		require.NoError(t, err)
		found, fenced := 0, false
		for command := range strings.Lines(string(text)) {
			if strings.HasPrefix(command, "```") {
				fenced = !fenced
			} else if c := line.FindStringSubmatch(strings.TrimSpace(command)); fenced && c != nil {
				understood(t, words(c[1]))
				found++
			}
		}
		require.GreaterOrEqual(t, found, least, name)
	}
}

// words splits a command line as a shell does, as far as the documents need it.
func words(line string) (all []string) {
	for _, w := range regexp.MustCompile(`'[^']*'|[^ ']+`).FindAllString(line, -1) {
		all = append(all, strings.Trim(w, "'"))
	}
	return all
}

// A broker that is asked to stop must be able to drain before it is killed, and to
// flush what it has.
func drains(t *testing.T, s *serving, killed time.Duration) {
	t.Helper()
	require.LessOrEqual(t, s.drain+5*time.Second, killed)
}

// setting returns the values of a setting in a unit, with continued lines joined.
func setting(unit, name string) (values []string) {
	unit = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(unit, "")
	for _, found := range regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(unit, -1) {
		values = append(values, found[1])
	}
	return values
}

func TestDeploySystemd(t *testing.T) {
	t.Parallel()
	unit := readDeployed(t, "systemd", "mesh-broker.service")
	start := strings.Fields(setting(unit, "ExecStart")[0])
	require.Equal(t, "/usr/local/bin/mesh", start[0])
	s := understood(t, start[1:])
	require.NotEmpty(t, s.keyfile, "a broker on a network has keys")
	killed, err := time.ParseDuration(setting(unit, "TimeoutStopSec")[0])
	require.NoError(t, err)
	drains(t, s, killed)
	for _, name := range []string{"mesh-broker.service", "mesh-worker@.service"} {
		require.Equal(t, []string{"mesh"}, setting(readDeployed(t, "systemd", name), "User"))
	}
	require.Contains(t, readDeployed(t, "systemd", "mesh.sysusers"), "\nu mesh ")
}

// systemd itself reads the units, where it is there.
func TestDeploySystemdVerify(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		leg.Need(t, "systemd", "this test needs systemd-analyze (Debian: systemd)")
	}
	program, err := os.Executable() // it wants one that is there
	require.NoError(t, err)
	dir := t.TempDir()
	for from, to := range map[string]string{"mesh-broker.service": "mesh-broker.service", "mesh-worker@.service": "mesh-worker@tea.service"} {
		unit := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/(mesh|%i)`).ReplaceAllString(readDeployed(t, "systemd", from), "ExecStart="+program)
		path := filepath.Join(dir, to)
		require.NoError(t, os.WriteFile(path, []byte(unit), 0o600))
		text, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput() //nolint:gosec // a path that the test made
		require.NoError(t, err, "%s", text)
		require.Empty(t, string(text))
	}
}

func TestDeployDocker(t *testing.T) {
	t.Parallel()
	file := readDeployed(t, "docker", "Dockerfile")
	require.Contains(t, file, "CGO_ENABLED=0")
	stages := strings.Split(file, "\nFROM ")[1:]
	require.Len(t, stages, 3)
	for _, stage := range stages[1:] {
		require.Contains(t, stage, "\nUSER 65532:65532\n", "no program runs as root")
	}
	var entry, args []string
	last := stages[2]
	require.Contains(t, last, " AS mesh\n")
	for word, to := range map[string]*[]string{"ENTRYPOINT": &entry, "CMD": &args} {
		found := regexp.MustCompile(`(?m)^` + word + ` (\[.*\])$`).FindStringSubmatch(last)
		require.NotNil(t, found, word)
		require.NoError(t, json.Unmarshal([]byte(found[1]), to))
	}
	require.Equal(t, []string{"/usr/local/bin/mesh"}, entry)
	require.Equal(t, "broker", args[0])
	understood(t, args)
	for _, text := range regexp.MustCompile(`(?m)^RUN .*(?:\n .*)*\./(cmd/mesh) \./(examples/tea)$`).FindStringSubmatch(file)[1:] {
		require.DirExists(t, filepath.Join("..", "..", text))
	}
}

func TestDeployCompose(t *testing.T) {
	t.Parallel()
	var file struct {
		Services map[string]struct {
			Image   string
			Command []string
			Build   struct {
				Dockerfile, Target string
			}
			StopGracePeriod string `yaml:"stop_grace_period"`
			Environment     map[string]string
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(readDeployed(t, "docker", "compose.yaml")), &file))
	brokers := 0
	var lists []string
	for name, s := range file.Services {
		require.Equal(t, "deploy/docker/Dockerfile", s.Build.Dockerfile)
		require.Contains(t, readDeployed(t, "docker", "Dockerfile"), " AS "+s.Build.Target+"\n")
		switch s.Image {
		case "mesh":
			if list := s.Environment["MESH_BROKER"]; list != "" {
				lists = append(lists, list)
			}
			broker := understood(t, s.Command)
			if broker == nil {
				continue
			}
			brokers++
			require.Equal(t, name, broker.id)
			killed, err := time.ParseDuration(s.StopGracePeriod)
			require.NoError(t, err)
			drains(t, broker, killed)
		case "mesh-tea":
			require.Len(t, s.Command, 3)
			require.Equal(t, "--broker", s.Command[1])
			lists = append(lists, s.Command[2])
		default:
			require.Fail(t, "what is this image?", s.Image)
		}
	}
	require.Equal(t, 3, brokers)
	require.Len(t, lists, 3, "of the worker, the guest and the shell")
	for _, list := range lists {
		addrs := strings.Split(list, ",")
		require.Len(t, addrs, brokers)
		for _, addr := range addrs {
			host, ok := strings.CutSuffix(strings.TrimPrefix(addr, "tcp://"), ":5555")
			require.True(t, ok, addr)
			require.Contains(t, file.Services, host)
		}
	}
}

// object is what the tests look at of an object of Kubernetes.
type object struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Spec struct {
		ServiceName string `yaml:"serviceName"`
		ClusterIP   string `yaml:"clusterIP"`
		Replicas    int
		Selector    map[string]any
		Ports       []struct {
			Name       string
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
		Template struct {
			Metadata struct{ Labels map[string]any }
			Spec     podSpec
		}
	}
}

type podSpec struct {
	TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               struct {
		RunAsNonRoot bool `yaml:"runAsNonRoot"`
		RunAsUser    int  `yaml:"runAsUser"`
		FSGroup      int  `yaml:"fsGroup"`
	} `yaml:"securityContext"`
	InitContainers []container `yaml:"initContainers"`
	Containers     []container
	Volumes        []struct{ Name string }
}

type container struct {
	Image         string
	Command, Args []string
	Env           []struct {
		Name, Value string
		ValueFrom   struct {
			ConfigMapKeyRef struct{ Name, Key string } `yaml:"configMapKeyRef"`
		} `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	ReadinessProbe  *probe `yaml:"readinessProbe"`
	LivenessProbe   *probe `yaml:"livenessProbe"`
	Resources       struct{ Requests, Limits map[string]string }
	SecurityContext struct {
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	Exec           struct{ Command []string }
	TimeoutSeconds int `yaml:"timeoutSeconds"`
}

// objects reads a file of manifests.
func objects(t *testing.T, name string) (all []object) {
	t.Helper()
	for d := yaml.NewDecoder(strings.NewReader(readDeployed(t, "kubernetes", name))); ; {
		var o object
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			require.NotEmpty(t, all)
			return all
		}
		require.NoError(t, err, name)
		require.Equal(t, "mesh", o.Metadata.Namespace, "%s %s", o.Kind, o.Metadata.Name)
		all = append(all, o)
	}
}

func kind(t *testing.T, all []object, name string) *object {
	t.Helper()
	for i := range all {
		if all[i].Kind == name {
			return &all[i]
		}
	}
	require.Fail(t, "no "+name)
	return nil
}

func TestDeployKubernetesBroker(t *testing.T) {
	t.Parallel()
	all := objects(t, "broker.yaml")
	service, set, budget := kind(t, all, "Service"), kind(t, all, "StatefulSet"), kind(t, all, "PodDisruptionBudget")
	require.Equal(t, "None", service.Spec.ClusterIP)
	require.Equal(t, service.Metadata.Name, set.Spec.ServiceName)
	require.Equal(t, 3, set.Spec.Replicas)
	labels := set.Spec.Template.Metadata.Labels
	require.Equal(t, labels, service.Spec.Selector)
	require.Equal(t, labels, set.Spec.Selector["matchLabels"])
	require.Equal(t, labels, budget.Spec.Selector["matchLabels"])

	pod := &set.Spec.Template.Spec
	checkPod(t, pod)
	c := &pod.Containers[0]
	require.Equal(t, c.Ports[0].Name, service.Spec.Ports[0].TargetPort)
	require.Equal(t, c.Ports[0].ContainerPort, service.Spec.Ports[0].Port)
	broker := understood(t, c.Args)
	require.Equal(t, []string{"tcp://*:5555"}, broker.listen)
	require.NotEmpty(t, broker.keyfile, "a broker on a network has keys")
	drains(t, broker, time.Duration(pod.TerminationGracePeriodSeconds)*time.Second)
	for _, p := range []*probe{c.ReadinessProbe, c.LivenessProbe} {
		require.Equal(t, "/usr/local/bin/mesh", p.Exec.Command[0])
		require.Nil(t, understood(t, p.Exec.Command[1:]))
		require.Less(t, askedFor(t, p.Exec.Command[1:]), time.Duration(p.TimeoutSeconds)*time.Second)
	}
}

// askedFor returns the timeout of a command that asks a broker.
func askedFor(t *testing.T, args []string) time.Duration {
	t.Helper()
	cmd, rest, err := newRoot(console{getenv: func(string) string { return "" }}).Find(args)
	require.NoError(t, err)
	require.NoError(t, cmd.ParseFlags(rest))
	d, err := cmd.Flags().GetDuration("timeout")
	require.NoError(t, err)
	return d
}

func TestDeployKubernetesPeers(t *testing.T) {
	t.Parallel()
	worker := kind(t, objects(t, "worker.yaml"), "Deployment")
	checkPod(t, &worker.Spec.Template.Spec)
	require.Equal(t, worker.Spec.Template.Metadata.Labels, worker.Spec.Selector["matchLabels"])
	require.GreaterOrEqual(t, worker.Spec.Template.Spec.TerminationGracePeriodSeconds, 60)
	client := kind(t, objects(t, "client.yaml"), "Job")
	pod := &client.Spec.Template.Spec
	checkPod(t, pod)
	require.Nil(t, understood(t, pod.Containers[0].Args))

	set := kind(t, objects(t, "broker.yaml"), "StatefulSet")
	require.Equal(t, set.Spec.ServiceName+".mesh.svc:5555", variable(&worker.Spec.Template.Spec.Containers[0], "BROKERS"))
	addrs := strings.Split(variable(&pod.Containers[0], "MESH_BROKER"), ",")
	require.Len(t, addrs, set.Spec.Replicas)
	for i, addr := range addrs {
		require.Equal(t, "tcp://"+set.Metadata.Name+"-"+string(rune('0'+i))+"."+set.Spec.ServiceName+":5555", addr)
	}
}

func variable(c *container, name string) string {
	for _, v := range c.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

// checkPod checks what holds for every pod.
func checkPod(t *testing.T, pod *podSpec) {
	t.Helper()
	require.True(t, pod.SecurityContext.RunAsNonRoot)
	require.Equal(t, 65532, pod.SecurityContext.RunAsUser, "the user of the image")
	require.Equal(t, 65532, pod.SecurityContext.FSGroup)
	volumes := make(map[string]bool)
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	mounted := make(map[string]bool)
	for _, c := range append(pod.InitContainers, pod.Containers...) {
		require.NotNil(t, c.SecurityContext.AllowPrivilegeEscalation)
		require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
		require.True(t, c.SecurityContext.ReadOnlyRootFilesystem)
		require.Equal(t, []string{"ALL"}, c.SecurityContext.Capabilities.Drop)
		require.NotEmpty(t, c.Resources.Requests["cpu"])
		require.NotEmpty(t, c.Resources.Limits["memory"])
		var paths []string
		for _, m := range c.VolumeMounts {
			require.True(t, volumes[m.Name], m.Name)
			mounted[m.Name] = true
			paths = append(paths, m.MountPath+"/")
		}
		inside := func(file string) {
			for _, path := range paths {
				if strings.HasPrefix(file, path) {
					return
				}
			}
			require.Fail(t, "the file is in no volume", file)
		}
		for _, arg := range c.Args {
			if _, file, ok := strings.Cut(arg, "=/"); ok {
				inside("/" + file)
			}
		}
		for _, v := range c.Env {
			switch v.Name {
			case "MESH_CURVE_KEYFILE":
				inside(v.Value)
			case "MESH_SERVER_KEY":
				require.Equal(t, "mesh-brokers", v.ValueFrom.ConfigMapKeyRef.Name)
				require.Equal(t, v.Name, v.ValueFrom.ConfigMapKeyRef.Key)
			case "MESH_BROKER", "BROKERS", "POD_NAME", "GOMEMLIMIT":
			default:
				require.Fail(t, "nobody reads this variable", v.Name)
			}
		}
	}
	require.Equal(t, volumes, mounted, "every volume is for something")
}

// Every variable of the command that a file in deploy sets is one that it reads.
func TestDeployVariables(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	for _, name := range regexp.MustCompile(`MESH_[A-Z_]+`).FindAllString(source(t), -1) {
		known[name] = true
	}
	files := os.DirFS(deployed)
	require.NoError(t, fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		for _, name := range regexp.MustCompile(`MESH_[A-Z_]+`).FindAllString(string(text), -1) {
			require.True(t, known[name], "%s sets %s", path, name)
		}
		return err
	}))
}

// source is the command's own code.
func source(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var all bytes.Buffer
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		all.Write(text)
	}
	return all.String()
}
