"""The claims of the study `identity_mapping`, with their gates."""

from jaxsynth.studies.claim import Claim, Gate
