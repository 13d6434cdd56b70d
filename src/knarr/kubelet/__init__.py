"""The kubelet: makes the node's containers what the pods' specs say, through CRI."""
