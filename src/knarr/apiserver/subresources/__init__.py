"""Subresources that are more than a view of their object: scale, binding, log, exec, …"""
