"""The quota is exact over several daemons, without faults. tests/fault/quota does the same many times."""

import pytest

from nodes import Cluster
from quotas import accept_exactly, accept_one_large


@pytest.fixture(scope="module")
def cluster(build_directory):
    with Cluster(build_directory, "one", "two", "three") as running:
        yield running


def test_three_daemons_accept_exactly_the_quota(cluster):
    accept_exactly(cluster, 1000)


def test_two_large_calls_do_not_fit_where_one_does(cluster):
    accept_one_large(cluster)
