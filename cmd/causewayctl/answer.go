package main

import (
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// planTimeout bounds a plan of the largest size.
const planTimeout = 30 * time.Second

// answered is an error with the words of whoever answered: client-go puts the body of an
// answer that is no API object beside its own message.
func answered(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return err
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type != metav1.CauseTypeUnexpectedServerResponse || cause.Message == "" || cause.Message == "unknown" {
			continue
		}
		switch status.Status().Code {
		case 404, 405:
			return errors.New("it does not know plans: it is of an older version")
		}
		return errors.New(cause.Message)
	}
	if apierrors.IsNotFound(err) {
		return errors.New("its pod is gone; another replica takes over within seconds")
	}
	return err
}
