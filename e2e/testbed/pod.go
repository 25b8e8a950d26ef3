package testbed

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/causeway-mesh/causeway/e2e/echo"
)

// PodSpec says which Pod object stands for a process.
type PodSpec struct {
	Namespace string
	Name      string
	Labels    map[string]string
	Addr      netip.Addr        // one of the site's, such as Site.PodAddr(1)
	Ports     map[string]uint16 // container ports by name
	// ServiceAccount is "default" when empty.
	ServiceAccount string
	// Ready is the readiness probe: nil error means ready. Called every second from
	// one goroutine. Nil means that the first container port accepts connections.
	Ready func(context.Context) error
}

// Pod is a process with the Pod object that stands for it. Nothing restarts it.
type Pod struct {
	Spec    PodSpec
	Process *Process
	cluster *Cluster
	// held forces unready while true: what SetReady(false) asks for.
	mu     sync.Mutex
	held   bool
	cancel context.CancelFunc
	// kick asks for a probe now. Sent by SetReady, never closed; buffer 1.
	kick chan struct{}
	done chan struct{} // closed once the kubelet's part has ended
}

// probeEvery is the period of the readiness probe, kubelet's smallest.
const probeEvery = time.Second

// StartPod runs the testbed's own HTTP server as a Pod. It answers with
// "<cluster>/<pod>"; /slow?ms=500 answers late, /stream?count=10&ms=100 line by line.
func (c *Cluster) StartPod(ctx context.Context, spec PodSpec) (*Pod, error) {
	port := firstPort(spec.Ports)
	return c.StartPodProcess(ctx, spec, Command{
		Path: "/proc/self/exe",
		Env: []string{
			roleVariable + "=" + rolePod,
			podIdentityVariable + "=" + c.Name + "/" + spec.Name,
			podListenVariable + "=" + netip.AddrPortFrom(spec.Addr, port).String(),
		},
	})
}

// StartPodProcess runs any command as a Pod: the process, then the Pod object with a
// status that a kubelet would write. It returns once the object exists; readiness
// follows as the probe finds it (see Pod.AwaitReady).
func (c *Cluster) StartPodProcess(ctx context.Context, spec PodSpec, cmd Command) (*Pod, error) {
	if cmd.Name == "" {
		cmd.Name = c.Name + "-" + spec.Namespace + "-" + spec.Name
	}
	if err := c.createPod(ctx, spec); err != nil {
		return nil, err
	}
	proc, err := c.w.StartProcess(c.Site, cmd)
	if err != nil {
		return nil, err
	}
	p := &Pod{Spec: spec, Process: proc, cluster: c, kick: make(chan struct{}, 1), done: make(chan struct{})}
	if p.Spec.Ready == nil {
		p.Spec.Ready = p.accepts
	}
	life, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go p.kubelet(life)
	return p, nil
}

func firstPort(ports map[string]uint16) uint16 {
	var first uint16
	for _, p := range ports {
		if first == 0 || p < first {
			first = p
		}
	}
	return first
}

func (c *Cluster) createPod(ctx context.Context, s PodSpec) error {
	zero := int64(0)
	container := corev1.Container{Name: "main", Image: "process"}
	for name, port := range s.Ports {
		container.Ports = append(container.Ports, corev1.ContainerPort{Name: name, ContainerPort: int32(port)})
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, Labels: s.Labels},
		Spec: corev1.PodSpec{
			NodeName: c.Node(), ServiceAccountName: s.ServiceAccount, TerminationGracePeriodSeconds: &zero,
			Containers: []corev1.Container{container},
		},
	}
	// The namespace's ServiceAccount may be a moment behind the namespace.
	return await(ctx, "pod "+s.Namespace+"/"+s.Name, []*Process{c.APIServer, c.ControllerManager}, func(ctx context.Context) error {
		_, err := c.client.CoreV1().Pods(s.Namespace).Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
}

// accepts is the probe by default.
func (p *Pod) accepts(ctx context.Context) error {
	addr := netip.AddrPortFrom(p.Spec.Addr, firstPort(p.Spec.Ports)).String()
	conn, err := p.cluster.Site.Dial(ctx, "tcp", addr)
	if err == nil {
		conn.Close()
	}
	return err
}

// kubelet keeps the Pod's status true to its process until ctx ends or the process
// does.
func (p *Pod) kubelet(ctx context.Context) {
	defer close(p.done)
	tick := time.NewTicker(pollEvery) // quick until first ready
	defer tick.Stop()
	var told, ready bool
	for first := true; ; first = false {
		now := p.probe(ctx)
		if first || now != ready || !told {
			ready = now
			told = p.report(ctx, ready) == nil
		}
		if ready && told {
			tick.Reset(probeEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-p.Process.Done():
			_ = p.report(ctx, false)
			return
		case <-p.kick:
		case <-tick.C:
		}
	}
}

func (p *Pod) probe(ctx context.Context) bool {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held || !p.Process.Running() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeEvery)
	defer cancel()
	return p.Spec.Ready(ctx) == nil
}

func (p *Pod) report(ctx context.Context, ready bool) error {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	now := metav1.Now()
	state := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	if !p.Process.Running() {
		state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", FinishedAt: now}}
	}
	addr := p.Spec.Addr.String()
	patch := map[string]any{"status": corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: addr, PodIPs: []corev1.PodIP{{IP: addr}}, HostIP: p.cluster.Site.APIServerAddr().String(), StartTime: &now,
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: now},
			{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: now},
			{Type: corev1.ContainersReady, Status: status, LastTransitionTime: now},
			{Type: corev1.PodReady, Status: status, LastTransitionTime: now},
		},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Image: "process", Ready: ready, State: state}},
	}}
	body, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = p.cluster.client.CoreV1().Pods(p.Spec.Namespace).Patch(ctx, p.Spec.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
	return err
}

// SetReady(false) marks the Pod unready whatever its probe says; true lets the probe
// decide again.
func (p *Pod) SetReady(ready bool) {
	p.mu.Lock()
	p.held = !ready
	p.mu.Unlock()
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// AwaitReady waits until the API server knows the Pod as ready.
func (p *Pod) AwaitReady(ctx context.Context) error {
	return await(ctx, "pod "+p.Spec.Namespace+"/"+p.Spec.Name+" to be ready", []*Process{p.Process}, func(ctx context.Context) error {
		pod, err := p.cluster.client.CoreV1().Pods(p.Spec.Namespace).Get(ctx, p.Spec.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("not ready: %w", p.Spec.Ready(ctx))
	})
}

// Delete is `kubectl delete pod`: the process gets SIGTERM, the object goes at once.
func (p *Pod) Delete(ctx context.Context) error {
	p.cancel()
	<-p.done
	zero := int64(0)
	err := p.cluster.client.CoreV1().Pods(p.Spec.Namespace).Delete(ctx, p.Spec.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero})
	p.Process.Stop()
	return err
}

// The environment of the testbed's own HTTP server.
const (
	podIdentityVariable = "CAUSEWAY_TESTBED_POD"
	podListenVariable   = "CAUSEWAY_TESTBED_LISTEN"
)

// podMain is the process behind StartPod.
func podMain() int {
	server := &http.Server{
		Addr: os.Getenv(podListenVariable), Handler: echo.Handler(os.Getenv(podIdentityVariable)), ReadHeaderTimeout: 10 * time.Second,
	}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	return 1
}
