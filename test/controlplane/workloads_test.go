package controlplane_test

import (
	"context"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestADeploymentBecomesAvailableAndGoesWithItsNamespace(t *testing.T) {
	clients := clients(t, shared)
	namespace := newNamespace(t, clients)
	replicas, labels := int32(2), map[string]string{"app": "web"}
	_, err := clients.AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod("")},
		},
	}, metav1.CreateOptions{})
	require(t, err)
	eventually(t, "2 replicas are available", func(ctx context.Context) (bool, error) {
		web, err := clients.AppsV1().Deployments(namespace).Get(ctx, "web", metav1.GetOptions{})
		return err == nil && web.Status.AvailableReplicas == replicas, err
	})

	require(t, clients.CoreV1().Namespaces().Delete(t.Context(), namespace, metav1.DeleteOptions{}))
	eventually(t, "the namespace is gone", func(ctx context.Context) (bool, error) {
		_, err := clients.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		return apierrors.IsNotFound(err), err
	})
}

func TestAJobCompletes(t *testing.T) {
	clients := clients(t, shared)
	namespace := newNamespace(t, clients)
	_, err := clients.BatchV1().Jobs(namespace).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "once"},
		Spec:       batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: pod(corev1.RestartPolicyNever)}},
	}, metav1.CreateOptions{})
	require(t, err)
	eventually(t, "the job is complete", func(ctx context.Context) (bool, error) {
		job, err := clients.BatchV1().Jobs(namespace).Get(ctx, "once", metav1.GetOptions{})
		return err == nil && job.Status.CompletionTime != nil, err
	})
}

func TestAClaimBindsToAVolume(t *testing.T) {
	clients := clients(t, shared)
	namespace := newNamespace(t, clients)
	storage, class := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}, "by-hand"
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "volume-"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:         storage,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: class,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				CSI: &corev1.CSIPersistentVolumeSource{Driver: "csi.example.com", VolumeHandle: "one"},
			},
		},
	}
	_, err := clients.CoreV1().PersistentVolumes().Create(t.Context(), volume, metav1.CreateOptions{})
	require(t, err)
	_, err = clients.CoreV1().PersistentVolumeClaims(namespace).Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      volume.Spec.AccessModes,
			StorageClassName: &class,
			Resources:        corev1.VolumeResourceRequirements{Requests: storage},
		},
	}, metav1.CreateOptions{})
	require(t, err)
	eventually(t, "the claim is bound", func(ctx context.Context) (bool, error) {
		claim, err := clients.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, "data", metav1.GetOptions{})
		return err == nil && claim.Status.Phase == corev1.ClaimBound, err
	})
}

func newNamespace(t *testing.T, clients kubernetes.Interface) string {
	t.Helper()
	namespace, err := clients.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
	}, metav1.CreateOptions{})
	require(t, err)
	return namespace.Name
}

func pod(restart corev1.RestartPolicy) corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy: restart,
		Containers:    []corev1.Container{{Name: "main", Image: "registry.example.com/main"}},
	}
}
