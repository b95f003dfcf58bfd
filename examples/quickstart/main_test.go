package main

import (
	"testing"

	"github.com/auditing-go/auditing/examples/internal/shop/shoptest"
)

func TestRefund(t *testing.T) { shoptest.Refund(t, newHandler) }
