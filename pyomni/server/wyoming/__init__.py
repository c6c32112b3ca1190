"""Speech for Home Assistant, in the Wyoming protocol: lines of JSON over TCP, with sound after them."""
