"""What ``bentoml serve`` is given: the service that the server's orders describe."""

from __future__ import annotations

from stackwright_bentoml.making import make_service
from stackwright_bentoml.orders import Orders

service = make_service(Orders.from_environment())
