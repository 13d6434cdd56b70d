"""Pod networking: addresses, bridge, netlink, nftables."""
