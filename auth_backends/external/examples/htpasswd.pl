#!/usr/bin/perl
# Logins for Stonechat (or ejabberd) from a file of user:hash lines, as `htpasswd -5` and
# `openssl passwd -6` make the hashes. It changes nothing: those requests are answered by no.
use strict;
use warnings;

my $file = shift @ARGV or die "usage: $0 FILE\n";
binmode STDIN;
binmode STDOUT;
$| = 1;

while (read(STDIN, my $header, 2) == 2) {
    my $length = unpack "n", $header;
    read(STDIN, my $request, $length) == $length or last;

    # Only the first three colons part the fields: there may be more in the password.
    my ($operation, $user, $host, $password) = split /:/, $request, 4;

    # Read each time, so that a change is in force at once.
    my $hash;
    open my $lines, "<", $file or die "$file: $!\n";
    while (<$lines>) {
        chomp;
        my ($name, $rest) = split /:/, $_, 2;
        $hash = $rest if defined $rest and $name eq $user;
    }
    close $lines;

    my $answer = 0;
    if ($operation eq "auth") {
        # For a stranger, too, so that nobody sees by the time it takes who has an account.
        my $expected = $hash // '$6$nobody$';
        my $given = crypt($password, $expected) // "";
        $answer = 1 if defined $hash and $given eq $hash;
    } elsif ($operation eq "isuser") {
        $answer = 1 if defined $hash;
    }
    print pack "nn", 2, $answer;
}
